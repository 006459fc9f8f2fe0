import { handle } from '@errand/core'
import type { Context, JobHandler } from '@errand/core'
import type { Ledger } from './ledger.ts'
import type { SimulatedProcess } from './process.ts'
import type { StepNotes } from './step-notes.ts'
import { calledJob, doPart, steppedJob } from './step-parts.ts'
import type { PartPlace } from './step-parts.ts'

export function makeStepHandlers(
  process: SimulatedProcess,
  worker: string,
  ledger: Ledger,
  notes: StepNotes,
): readonly JobHandler[] {
  const mark = (ctx: Pick<Context, 'job' | 'run'>, what: 'began' | 'ended'): Promise<void> =>
    ledger.mark(process, { jobId: ctx.job.id, run: ctx.run, mark: what, worker })
  const place: PartPlace = {
    sleep: (ms) => process.clock.sleep(ms),
    die: () => process.kill(),
    act: (line) => notes.act(line),
    saw: (line) => notes.saw(line),
    inside: () => Promise.reject(new Error('a simulated application has no transactions')),
  }
  return [
    handle(steppedJob, async ({ parts }, ctx) => {
      await mark(ctx, 'began')
      for (const [index, part] of parts.entries()) await doPart(part, `part-${index}`, ctx, place)
      await mark(ctx, 'ended')
    }),
    handle(calledJob, async (_payload, ctx) => {
      await mark(ctx, 'began')
      await mark(ctx, 'ended')
      return { run: ctx.run }
    }),
  ]
}
