import { defineJob, exponential, handle, isErrandError, PermanentError } from '@errand/core'
import type { Context, JobDefinition, JobHandler, JobPolicy, LimitDefinition } from '@errand/core'
import { lanes } from '@errand/core/ports'
import type { Chance } from './chance.ts'
import type { Ledger } from './ledger.ts'
import type { DrawLimit } from './limit-plan.ts'
import type { SimulatedProcess } from './process.ts'

/** Looks like a transaction to Errand. The reference log cannot roll back: it stores jobs at once. */
export const tx = { query: async () => ({ rows: [], rowCount: 0 }) } as never

/** What one run of a job does. */
interface Act {
  readonly does:
    | 'succeed'
    | 'throw'
    | 'failForGood'
    | 'retry'
    | 'snooze'
    | 'fail'
    | 'cancel'
    | 'release'
    | 'ignoreSignal'
    | 'complete'
    | 'completeAndThrow'
    | 'dispatchChild'
    | 'addToFlow'
    | 'progress'
    | 'forgetOutcome'
    | 'killProcess'
  readonly ms: number
}

export interface Payload {
  readonly key: string
  readonly unique: string
  /** What each run does; the last entry repeats. */
  readonly acts: readonly Act[]
}

export type SimulatedJob = JobDefinition<Payload, Payload, undefined>

/** Acts that end a job sooner or later, however often they are repeated. */
const ends = ['succeed', 'throw', 'failForGood', 'fail', 'cancel', 'complete', 'completeAndThrow'] as const
const detours = [
  'retry',
  'snooze',
  'release',
  'ignoreSignal',
  'progress',
  'forgetOutcome',
  'throw',
  'killProcess',
] as const

interface PayloadSchema {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => { readonly value: Payload }
    readonly types?: { readonly input: Payload; readonly output: Payload }
  }
}

const payload: PayloadSchema = {
  '~standard': { version: 1, vendor: 'simulation', validate: (value) => ({ value: value as Payload }) },
}

/** Job definitions of one run. The first is plain, so that it can be a child of any job. */
export function defineJobs(
  chance: Chance,
  queues: readonly string[],
  areRepeatable: boolean,
  drawLimit: DrawLimit = () => undefined,
): readonly SimulatedJob[] {
  const count = chance.whole(2, 6)
  return Array.from({ length: count }, (_, index) =>
    defineOne(chance, `job-${index}`, queues, index === 0, areRepeatable, drawLimit()),
  )
}

function defineOne(
  chance: Chance,
  name: string,
  queues: readonly string[],
  isPlain: boolean,
  isRepeatable: boolean,
  limit: LimitDefinition<Payload> | undefined,
): SimulatedJob {
  const kind = isPlain ? 'plain' : chance.pick(['plain', 'ordered', 'ordered', 'unique', 'both'])
  const isOrdered = kind === 'ordered' || kind === 'both'
  const isUnique = kind === 'unique' || kind === 'both'
  const policy: JobPolicy<Payload> = {
    name,
    queue: chance.pick(queues),
    lane: chance.pick(lanes),
    timeout: chance.pick([1_500, 4_000, 15_000, 'none']),
    retry: { attempts: chance.whole(1, 4), backoff: exponential(chance.pick([100, 1_000]), { max: 5_000 }) },
    crashes: chance.whole(1, 4),
    onCrash: isRepeatable ? 'retry' : chance.pick(['retry', 'retry', 'fail']),
    ...(isOrdered ? { order: { key: ({ key }) => key, onFailure: chance.pick(['block', 'skip']) } } : {}),
    ...(isUnique
      ? {
          unique: {
            key: ({ unique }) => unique,
            until: chance.pick(['finished', 'finished', 'started']),
            for: chance.pick([undefined, undefined, 5_000]),
          },
        }
      : {}),
    limit,
  }
  return defineJob({ ...policy, payload })
}

export function newPayload(chance: Chance): Payload {
  const detourCount = chance.pick([0, 0, 1, 2, 3])
  const acts = Array.from({ length: detourCount }, () => newAct(chance, chance.pick(detours)))
  const last = chance.happens(0.6) ? 'succeed' : chance.pick(ends)
  const child: Act[] = chance.happens(0.1) ? [newAct(chance, 'dispatchChild')] : []
  return {
    key: `key-${chance.whole(0, 1)}`,
    unique: `unique-${chance.whole(0, 2)}`,
    acts: [...acts, ...child, newAct(chance, last)],
  }
}

export const briefPayload: Payload = { key: 'key-0', unique: 'unique-0', acts: [{ does: 'succeed', ms: 0 }] }

function newAct(chance: Chance, does: Act['does']): Act {
  return {
    does,
    ms: chance.pick([0, chance.between(1, 100), chance.between(100, 2_000), chance.between(1_000, 8_000)]),
  }
}

/** The reason that a handler gives. It names its run, so that the checks can find a reason recorded for another run. */
function makeReason(run: number): string {
  return `by the plan of run ${run}`
}

/** The run that gave this reason, if the text names one. */
export function runOfReason(text: string): number | undefined {
  const match = /by the plan of run (\d+)/.exec(text)
  return match ? Number(match[1]) : undefined
}

function childPayload(parent: string): Payload {
  return { key: 'child', unique: parent, acts: [{ does: 'succeed', ms: 0 }] }
}

/** The handlers of these jobs in one process. */
export function makeHandlers(
  jobs: readonly SimulatedJob[],
  process: SimulatedProcess,
  worker: string,
  ledger: Ledger,
  began: (ctx: Context<undefined>) => void,
): readonly JobHandler[] {
  const [child] = jobs
  return jobs.map((job) =>
    handle(job, async ({ acts }, ctx) => {
      const { id } = ctx.job
      began(ctx)
      await ledger.mark(process, { jobId: id, run: ctx.run, mark: 'began', worker })
      const act = acts[Math.min(ctx.run, acts.length) - 1]
      const done = (): Promise<void> =>
        ledger.mark(process, { jobId: id, run: ctx.run, mark: 'ended', worker })
      if (act?.does === 'killProcess') process.kill()
      return act && (await run(act, ctx, process, child, done))
    }),
  )
}

async function run(
  act: Act,
  ctx: Context<undefined>,
  { clock }: SimulatedProcess,
  child: SimulatedJob | undefined,
  done: () => Promise<void>,
): Promise<never> {
  if (act.does === 'ignoreSignal') await clock.sleep(act.ms * 4)
  else await clock.sleep(act.ms, ctx.signal)
  if (act.does !== 'ignoreSignal') ctx.signal.throwIfAborted()
  // A handler returns an outcome or nothing, whatever the job's type says.
  const returned = await chooseOutcome(act, ctx, child, done)
  return returned as never
}

async function chooseOutcome(
  { does, ms }: Act,
  ctx: Context<undefined>,
  child: SimulatedJob | undefined,
  done: () => Promise<void>,
): Promise<unknown> {
  const why = makeReason(ctx.run)
  switch (does) {
    case 'succeed':
    case 'ignoreSignal':
      return done()
    case 'throw':
      throw new Error(why)
    case 'failForGood':
      throw new PermanentError(why)
    case 'retry':
      return ctx.retry({ after: Math.round(ms), reason: why })
    case 'snooze':
      // As after a 429.
      await ctx.limit?.close(Math.round(ms))
      return ctx.snooze(Math.round(ms), why)
    case 'fail':
      return ctx.fail(why)
    case 'cancel':
      return ctx.cancel(why)
    case 'release':
      return ctx.release()
    case 'complete':
    case 'completeAndThrow':
      // The work is a part of the transaction.
      await done()
      await ctx.complete({ tx })
      if (does === 'completeAndThrow') throw new Error(why)
      return undefined
    case 'progress':
      ctx.progress(1)
      return done()
    case 'dispatchChild':
      if (child) await ctx.dispatch(child, childPayload(ctx.job.id))
      return done()
    case 'addToFlow':
      if (child)
        await ctx.flow?.add([child.with(childPayload(ctx.job.id))]).catch((error: unknown) => {
          // Somebody cancels the flow.
          if (!isErrandError(error, 'E_FLOW_ENDED')) throw error
        })
      return done()
    case 'killProcess':
      return undefined
    case 'forgetOutcome':
      void ctx.snooze(1)
      return done()
    default:
      return does satisfies never
  }
}
