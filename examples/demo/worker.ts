import { setTimeout as delay } from 'node:timers/promises'
import { defineWorker, handle } from 'errand'
import { contactSheet } from './contact-sheet.ts'
import { scale, write } from './images.ts'
import { halve, makeContactSheet, orderPrints, resize } from './jobs.ts'
import { openLedger } from './ledger.ts'

export default defineWorker(() => {
  const path = process.env['ERRAND_DEMO_LEDGER']
  if (!path) throw new Error('ERRAND_DEMO_LEDGER must name the file that the handlers report to')
  const ledger = openLedger(path)
  return {
    concurrency: 2,
    // So short only so that nobody waits for the jobs of the worker that is killed. The default is 30 s.
    lease: '2s',
    grace: '5s',
    middleware: [ledger.middleware],
    handlers: [
      handle(resize, (payload, ctx) => scale(payload, ctx.signal)),
      handle(halve, ({ source, target }, ctx) =>
        scale({ source, target, width: { times: 0.5 }, format: 'jpeg' }, ctx.signal),
      ),
      handle(makeContactSheet, async ({ target, ...sheet }) => {
        await write(target, contactSheet(sheet))
        return { target }
      }),
      handle(orderPrints, async (_, ctx) => {
        // Stands for three services of other companies: each takes its time, and then acts.
        const act = (step: string, takesMs: number) => async (): Promise<void> => {
          await delay(takesMs)
          ledger.acted(ctx, step)
        }
        await ctx.step('charge', act('charge', 300))
        await ctx.step('print', act('print', 1_000))
        await ctx.step('ship', act('ship', 300))
      }),
    ],
  }
})
