import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineWorker, handle } from 'errand'
import { auditBooks, buildReport, countSales, renderPage } from './jobs.ts'

/** How long a page takes. */
const pageMs = Number(process.env['PAGE_MS'] ?? 300)

export default defineWorker({
  concurrency: 2,
  // So short only so that nobody waits for the jobs of a worker that was killed. The default is 30 s.
  lease: '2s',
  handlers: [
    handle(countSales, () => ({ cents: 1_234_500 })),
    handle(renderPage, async ({ chapter }) => {
      await sleep(pageMs)
      console.log(`rendered ${chapter}`)
      return { text: `All about ${chapter}.` }
    }),
    handle(auditBooks, (_, ctx) => ctx.fail('a receipt is missing')),
    handle(buildReport, async ({ month, file }, ctx) => {
      const { cents } = await ctx.needs.sales()
      const lines = [`# Report of ${month}`, `Sales: ${cents / 100}`]
      // In the order of the batch, whichever page was ready first.
      for await (const { result } of ctx.needs.pages()) lines.push(`- ${result.text}`)
      // However it ended: the report is built without an audit, too.
      const audit = await ctx.needs.audit()
      lines.push(`Audit: ${audit.state === 'succeeded' ? audit.result.ok : audit.error?.message}`)
      await writeFile(file, `${lines.join('\n')}\n`)
      console.log(`${file} is written`)
    }),
  ],
})
