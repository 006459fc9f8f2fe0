import { defineWorker, handle } from 'errand'
import { sendMail } from './jobs.ts'

const url = process.env['MAIL_API'] ?? 'http://127.0.0.1:8025'

export default defineWorker({
  concurrency: 10,
  handlers: [
    handle(sendMail, async ({ tenant, to }, ctx) => {
      const response = await fetch(`${url}/${tenant}`, { method: 'POST', body: to, signal: ctx.signal })
      if (response.status === 429) {
        // No worker asks again for this tenant before the API allows it. Other tenants do not notice.
        const waitMs = 1_000 * Number(response.headers.get('retry-after') ?? 30)
        await ctx.limit?.close(waitMs, 'the mail API asks us to wait')
        return ctx.snooze(waitMs)
      }
      if (!response.ok) throw new Error(`the mail API answers ${response.status}`)
      console.log(`sent to ${to} for ${tenant}`)
      return undefined
    }),
  ],
})
