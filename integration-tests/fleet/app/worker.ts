/** A worker process of the test fleet. Says on its standard output when it is ready. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from '@errand/core'
import type { Context } from '@errand/core'
import { aside, gated, hog, once, ordered, work } from './jobs.ts'
import { isGateOpen, note } from './ledger.ts'

const ledger = process.env['LEDGER'] ?? ''

async function noted(ctx: Context, run: () => Promise<void> | void): Promise<void> {
  const line = { jobId: ctx.job.id, run: ctx.run, pid: process.pid }
  note(ledger, { ...line, mark: 'began' })
  await run()
  note(ledger, { ...line, mark: 'ended' })
}

async function doWork({ failures, ms }: { failures: number; ms: number }, ctx: Context): Promise<void> {
  await noted(ctx, async () => {
    await sleep(ms, undefined, { signal: ctx.signal })
    if (ctx.attempt <= failures) throw new Error(`fails ${failures} times; this is attempt ${ctx.attempt}`)
  })
}

const errand = createErrand()
const worker = errand.work(
  defineWorker({
    concurrency: Number(process.env['CONCURRENCY'] ?? 10),
    lease: Number(process.env['LEASE_MS'] ?? 2_000),
    grace: Number(process.env['GRACE_MS'] ?? 5_000),
    handlers: [
      handle(work, doWork),
      handle(ordered, doWork),
      handle(aside, (_, ctx) => noted(ctx, () => {})),
      handle(gated, (_, ctx) =>
        noted(ctx, async () => {
          while (!isGateOpen(ledger)) await sleep(20, undefined, { signal: ctx.signal })
        }),
      ),
      handle(once, ({ ms }, ctx) => noted(ctx, () => sleep(ms))),
      handle(hog, ({ ms }, ctx) =>
        noted(ctx, () => {
          const until = performance.now() + ms
          while (performance.now() < until);
        }),
      ),
    ],
  }),
  { queues: (process.env['QUEUES'] ?? 'work').split(',') },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
