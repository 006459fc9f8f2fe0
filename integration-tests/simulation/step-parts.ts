// The parts of handlers with steps: for the simulation, and for fleets of real processes.
import { defineJob, defineMessage, fixed } from '@errand/core'
import type { Context } from '@errand/core'
import type { ActedLine, SeenLine } from './step-notes.ts'
import type { Part, StepPayload } from './step-plan.ts'

interface Schema<T> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => { readonly value: T }
    readonly types?: { readonly input: T; readonly output: T }
  }
}
const anything = <T>(): Schema<T> => ({
  '~standard': { version: 1, vendor: 'simulation', validate: (value) => ({ value: value as T }) },
})

export const steppedJob = defineJob({
  name: 'stepped',
  queue: 'red',
  payload: anything<StepPayload>(),
  timeout: '2m',
  crashes: 1_000,
  retry: { attempts: 60, backoff: fixed(200) },
})
export const calledJob = defineJob({
  name: 'called',
  queue: 'red',
  payload: anything<{ readonly from: string }>(),
  returns: anything<{ readonly run: number }>(),
  crashes: 1_000,
})
export const note = defineMessage({ name: 'note', payload: anything<{ readonly id: string }>() })

/** What of a step is stored: the run that did it. */
interface Made {
  readonly run: number
}

/** Where a handler runs. */
export interface PartPlace {
  readonly sleep: (ms: number) => Promise<void>
  /** Ends the process as a power loss would. */
  readonly die: () => void
  readonly act: (line: ActedLine) => void
  readonly saw: (line: SeenLine) => void
  /** A step of this name in a transaction. */
  readonly inside: (name: string, ctx: Context<undefined>) => Promise<void>
}

/** Does a part of a handler. What it is given it writes down, and each step that acts. */
export async function doPart(
  part: Part,
  name: string,
  ctx: Context<undefined>,
  place: PartPlace,
): Promise<void> {
  const { id } = ctx.job
  const saw = (what: string, value: string): void => place.saw({ job: id, run: ctx.run, name: what, value })
  const step = async (what: string, ms: number, fails?: { throwsIn?: number; diesIn?: number }) => {
    const made = await ctx.step(what, async (): Promise<Made> => {
      place.act({ job: id, run: ctx.run, name: what })
      if (ms > 0) await place.sleep(ms)
      if (fails?.diesIn === ctx.run) place.die()
      if (fails?.throwsIn === ctx.run) throw new Error(`${what} throws in run ${ctx.run}`)
      return { run: ctx.run }
    })
    saw(what, `made by run ${made.run}`)
  }
  switch (part.does) {
    case 'step':
      return step(name, part.ms, { throwsIn: part.throwsIn ?? -1, diesIn: part.diesIn ?? -1 })
    case 'sleep':
      return ctx.sleep(name, part.ms)
    case 'receive': {
      const message = await ctx.receive(name, note, { timeout: part.timeoutMs })
      return saw(name, message ? `message ${message.id}` : 'nothing')
    }
    case 'call': {
      const { run } = await ctx.call(name, calledJob, { from: id })
      return saw(name, `run ${run}`)
    }
    case 'race': {
      const first = await Promise.race([
        ctx.receive(`${name}/message`, note, { timeout: part.ms + 2_500 }).then(() => 'message'),
        ctx.sleep(`${name}/time`, part.ms + 1_100).then(() => 'time'),
      ])
      saw(name, first)
      return step(`${name}/after-${first}`, 0)
    }
    case 'together':
      await Promise.all([step(`${name}/a`, 30), step(`${name}/b`, 300), ctx.sleep(`${name}/c`, part.ms)])
      return undefined
    case 'beside':
      await Promise.all([
        ctx.sleep(name, part.ms + 1_100),
        place.sleep(900).then(() => step(`${name}/late`, 0)),
      ])
      return undefined
    case 'inside':
      return place.inside(name, ctx)
    default:
      return part satisfies never
  }
}
