import { setTimeout as sleep } from 'node:timers/promises'
import { handle } from '@errand/core'
import type { Context, JobHandler } from '@errand/core'
import { aside, family, gated, hog, member, once, ordered, work } from './jobs.ts'
import { isGateOpen, note } from './ledger.ts'

/** Runs a handler's work between two lines of its own in the ledger. */
export type Noted = (ctx: Context, run: () => Promise<void> | void) => Promise<void>

export function notedIn(ledger: string): Noted {
  return async (ctx, run) => {
    const line = { jobId: ctx.job.id, run: ctx.run, pid: process.pid }
    note(ledger, { ...line, mark: 'began' })
    await run()
    note(ledger, { ...line, mark: 'ended' })
  }
}

/** For every job of the fleet. */
export function fleetHandlers(ledger: string): readonly JobHandler[] {
  const noted = notedIn(ledger)
  const doWork = ({ failures, ms }: { failures: number; ms: number }, ctx: Context): Promise<void> =>
    noted(ctx, async () => {
      await sleep(ms, undefined, { signal: ctx.signal })
      if (ctx.attempt <= failures) throw new Error(`fails ${failures} times; this is attempt ${ctx.attempt}`)
    })
  return [
    handle(work, doWork),
    handle(ordered, doWork),
    handle(aside, (_, ctx) => noted(ctx, () => {})),
    handle(gated, (_, ctx) =>
      noted(ctx, async () => {
        while (!isGateOpen(ledger)) await sleep(20, undefined, { signal: ctx.signal })
      }),
    ),
    handle(family, ({ members, ms }, ctx) =>
      noted(ctx, async () => {
        for (let n = 0; n < members; n += 1) await ctx.dispatch(member, { n })
        if (ctx.run === 1) await sleep(ms, undefined, { signal: ctx.signal })
        if (ctx.run === 2) throw new Error('after its children')
      }),
    ),
    handle(member, (_, ctx) => noted(ctx, () => {})),
    handle(once, ({ ms }, ctx) => noted(ctx, () => sleep(ms))),
    handle(hog, ({ ms }, ctx) =>
      noted(ctx, () => {
        const until = performance.now() + ms
        while (performance.now() < until);
      }),
    ),
  ]
}
