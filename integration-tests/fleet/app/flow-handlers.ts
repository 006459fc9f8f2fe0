import { setTimeout as sleep } from 'node:timers/promises'
import { handle, isErrandError } from '@errand/core'
import type { Context, JobHandler } from '@errand/core'
import { calledJob, doPart, steppedJob } from '../../simulation/step-parts.ts'
import type { PartPlace } from '../../simulation/step-parts.ts'
import type { Effects } from './effects.ts'
import { orderedPart, part } from './flow-jobs.ts'
import type { PartPayload } from './flow-jobs.ts'
import { note } from './ledger.ts'
import { noteStep } from './step-lines.ts'

/** The handlers of jobs in flows, and of jobs with steps. */
export function flowHandlers(ledger: string, effects: Effects): readonly JobHandler[] {
  const mark = ({ job, run }: Pick<Context, 'job' | 'run'>, what: 'began' | 'ended'): void =>
    note(ledger, { jobId: job.id, run, pid: process.pid, mark: what })
  const doJob = async ({ n, ms, failures, adds }: PartPayload, ctx: Context): Promise<void> => {
    mark(ctx, 'began')
    await sleep(ms, undefined, { signal: ctx.signal })
    if (adds > 0) await addTo(ctx, adds, n)
    if (ctx.attempt <= failures) throw new Error(`fails ${failures} times; this is attempt ${ctx.attempt}`)
    mark(ctx, 'ended')
  }
  const place: PartPlace = {
    sleep: (ms) => sleep(ms),
    die: () => process.kill(process.pid, 'SIGKILL'),
    act: (line) => noteStep(ledger, line),
    saw: (line) => noteStep(ledger, line),
    inside: (name, ctx) => effects.writeStep(name, ctx),
  }
  return [
    handle(part, doJob),
    handle(orderedPart, doJob),
    handle(steppedJob, async ({ parts }, ctx) => {
      mark(ctx, 'began')
      for (const [index, each] of parts.entries()) await doPart(each, `part-${index}`, ctx, place)
      mark(ctx, 'ended')
    }),
    handle(calledJob, (_payload, ctx) => {
      mark(ctx, 'began')
      mark(ctx, 'ended')
      return { run: ctx.run }
    }),
  ]
}

async function addTo({ flow }: Context, count: number, n: number): Promise<void> {
  const added = Array.from({ length: count }, () => part.with({ n, ms: 5, failures: 0, adds: 0 }))
  await flow?.add(added).catch((error: unknown) => {
    // Somebody cancels the flow.
    if (!isErrandError(error, 'E_FLOW_ENDED')) throw error
  })
}
