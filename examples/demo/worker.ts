import { defineWorker, handle } from 'errand'
import { contactSheet } from './contact-sheet.ts'
import { scale, write } from './images.ts'
import { halve, makeContactSheet, resize } from './jobs.ts'
import { ledger } from './ledger.ts'

export default defineWorker(() => {
  const path = process.env['ERRAND_DEMO_LEDGER']
  if (!path) throw new Error('ERRAND_DEMO_LEDGER must name the file that the handlers report to')
  return {
    concurrency: 2,
    // So short only so that nobody waits for the jobs of the worker that is killed. The default is 30 s.
    lease: '2s',
    grace: '5s',
    middleware: [ledger(path)],
    handlers: [
      handle(resize, (payload, ctx) => scale(payload, ctx.signal)),
      handle(halve, ({ source, target }, ctx) =>
        scale({ source, target, width: { times: 0.5 }, format: 'jpeg' }, ctx.signal),
      ),
      handle(makeContactSheet, async ({ target, ...sheet }) => {
        await write(target, contactSheet(sheet))
        return { target }
      }),
    ],
  }
})
