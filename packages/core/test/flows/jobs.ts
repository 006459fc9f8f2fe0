import { z } from 'zod'
import { defineJob, ended, fixed, many } from '../../src/index.ts'

const once = { attempts: 1, backoff: fixed('1s') }
const Month = z.object({ month: z.string() })

export const countSales = defineJob({
  name: 'report.count-sales',
  payload: Month,
  returns: z.object({ cents: z.number() }),
  retry: once,
})
export const renderPage = defineJob({
  name: 'report.render-page',
  payload: z.object({ page: z.number() }),
  returns: z.object({ url: z.string() }),
  retry: once,
})
export const auditBooks = defineJob({
  name: 'report.audit',
  payload: Month,
  returns: z.object({ ok: z.boolean() }),
  retry: once,
})
export const buildReport = defineJob({
  name: 'report.build',
  payload: Month,
  needs: { sales: countSales, pages: many(renderPage), audit: ended(auditBooks) },
  retry: once,
})
/** A job that a test knows by its label. */
export const step = defineJob({ name: 'step', payload: z.string(), retry: once })
/** One at a time for each key. */
export const only = defineJob({ name: 'only', payload: z.string(), unique: { key: (p) => p }, retry: once })
