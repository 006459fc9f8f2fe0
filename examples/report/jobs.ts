import { defineJob, ended, many } from 'errand'
import { z } from 'zod'

const queue = 'reports'
const Month = z.object({ month: z.string() })

export const countSales = defineJob({
  name: 'report.count-sales',
  queue,
  payload: Month,
  returns: z.object({ cents: z.number() }),
})

export const renderPage = defineJob({
  name: 'report.render-page',
  queue,
  payload: Month.extend({ chapter: z.string() }),
  returns: z.object({ text: z.string() }),
})

export const auditBooks = defineJob({
  name: 'report.audit-books',
  queue,
  payload: Month,
  returns: z.object({ ok: z.boolean() }),
})

export const buildReport = defineJob({
  name: 'report.build',
  queue,
  payload: Month.extend({ file: z.string() }),
  // What its handler is given. A dispatch that leaves one out does not compile.
  needs: { sales: countSales, pages: many(renderPage), audit: ended(auditBooks) },
})
