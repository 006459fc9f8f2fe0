import { setTimeout as sleep } from 'node:timers/promises'
import { handle } from '@errand/core'
import type { Context, JobHandler } from '@errand/core'
import type { Effects } from './effects.ts'
import { carrying, deaf, greedy, grown, novel, rejecting, stuck, suicidal } from './hard-jobs.ts'
import {
  aside,
  blocking,
  capped,
  family,
  gated,
  held,
  heldOnce,
  hog,
  member,
  once,
  ordered,
  paid,
  ticked,
  skipping,
  work,
} from './jobs.ts'
import { isGateOpen, note } from './ledger.ts'

interface Failing {
  readonly failures: number
  readonly ms: number
}

/**
 * The handlers of every job of the fleet. Each run writes a line into the ledger at its beginning and at its end.
 * @param isNew of version 2, which knows other jobs than version 1
 */
export function fleetHandlers(ledger: string, effects?: Effects, isNew = false): readonly JobHandler[] {
  const noted = async (ctx: Context, run: () => Promise<void> | void = () => {}): Promise<void> => {
    const line = { jobId: ctx.job.id, run: ctx.run, pid: process.pid }
    note(ledger, { ...line, mark: 'began' })
    await run()
    note(ledger, { ...line, mark: 'ended' })
  }
  const doWork = ({ failures, ms }: Failing, ctx: Context): Promise<void> =>
    noted(ctx, async () => {
      await sleep(ms, undefined, { signal: ctx.signal })
      if (ctx.attempt <= failures) throw new Error(`fails ${failures} times; this is attempt ${ctx.attempt}`)
    })
  const untilOpen = async (gate: string, signal?: AbortSignal): Promise<void> => {
    while (!isGateOpen(gate)) await sleep(20, undefined, { signal })
  }
  const doHeld = ({ gate }: { readonly gate: string }, ctx: Context): Promise<void> =>
    noted(ctx, () => untilOpen(`${ledger}.${gate}`, ctx.signal))
  const doHopeless = ({ fails }: { readonly fails: boolean }, ctx: Context): Promise<void> =>
    noted(ctx, () => {
      if (fails) throw new Error('it always fails')
    })
  return [
    handle(work, doWork),
    handle(ordered, doWork),
    handle(aside, (_, ctx) => noted(ctx)),
    handle(ticked, (_, ctx) => noted(ctx, () => undefined)),
    handle(gated, (_, ctx) => noted(ctx, () => untilOpen(ledger, ctx.signal))),
    handle(family, ({ members, ms }, ctx) =>
      noted(ctx, async () => {
        for (let n = 0; n < members; n += 1) await ctx.dispatch(member, { n })
        if (ctx.run === 1) await sleep(ms, undefined, { signal: ctx.signal })
        if (ctx.run === 2) throw new Error('after its children')
      }),
    ),
    handle(member, (_, ctx) => noted(ctx)),
    handle(once, ({ ms }, ctx) => noted(ctx, () => sleep(ms))),
    handle(hog, ({ ms }, ctx) =>
      noted(ctx, () => {
        const until = performance.now() + ms
        while (performance.now() < until);
      }),
    ),
    handle(paid, async ({ ms }, ctx) => {
      await noted(ctx, () => sleep(ms, undefined, { signal: ctx.signal }))
      // After the ledger's last line: if the reply to the commit is lost, this throws, and the job has still succeeded.
      await effects?.write(ctx)
    }),
    handle(held, doHeld),
    handle(capped, doHeld),
    handle(heldOnce, doHeld),
    handle(blocking, doHopeless),
    handle(skipping, doHopeless),
    handle(stuck, (_, ctx) => noted(ctx, () => new Promise<void>(() => {}))),
    handle(deaf, ({ gate }, ctx) => noted(ctx, () => untilOpen(`${ledger}.${gate}`))),
    handle(rejecting, (_, ctx) =>
      noted(ctx, async () => {
        void Promise.reject(new Error('nobody waits for this promise'))
        await sleep(60_000, undefined, { signal: ctx.signal })
      }),
    ),
    handle(greedy, (_, ctx) =>
      noted(ctx, () => {
        const kept: object[] = []
        for (;;) kept.push(Array.from({ length: 10_000 }, (_each, index) => ({ index })))
      }),
    ),
    handle(suicidal, (_, ctx) => noted(ctx, () => process.exit(1))),
    handle(carrying, (_, ctx) => noted(ctx)),
    isNew ? handle(grown[2], (_, ctx) => noted(ctx)) : handle(grown[1], (_, ctx) => noted(ctx)),
    ...(isNew ? [handle(novel, (_, ctx) => noted(ctx))] : []),
  ]
}
