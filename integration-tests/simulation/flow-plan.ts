import { batch, chain, ended, flow } from '@errand/core'
import type { FlowOptions, FlowRequest, JobRequest, Needed } from '@errand/core'
import { Chance } from './chance.ts'
import { newPayload } from './jobs.ts'
import type { Payload, SimulatedJob } from './jobs.ts'

/** One in this many seeds has flows. */
const [flowsEvery, flowsFrom] = [4, 1]
/** Apart from the other choices of a seed, which stay as they were before there were flows. */
const otherSeeds = 2_000_003
const deepest = 3

export interface PlannedFlow {
  readonly id: string
  readonly atMs: number
  readonly inTransaction: boolean
  readonly request: FlowRequest<unknown>
}

/** A single job that waits for a job or a flow that was dispatched before. */
export interface PlannedAfter {
  readonly atMs: number
  readonly inTransaction: boolean
  readonly job: SimulatedJob
  readonly payload: Payload
  readonly id: string
  /** Which of those that were answered, as a part of 1. */
  readonly which: number
}

export interface FlowPlan {
  readonly flows: readonly PlannedFlow[]
  readonly afters: readonly PlannedAfter[]
}

export function planFlows(
  seed: number,
  jobs: readonly SimulatedJob[],
  withinMs: number,
): FlowPlan | undefined {
  if (seed % flowsEvery !== flowsFrom) return undefined
  const chance = new Chance(seed + otherSeeds)
  const builder = new Builder(chance, jobs)
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)
  const common = () => ({
    id: chance.uuid(),
    atMs: chance.between(0, withinMs * 0.7),
    inTransaction: chance.happens(0.15),
  })
  return {
    flows: times(chance.whole(1, 3), () => ({ ...common(), request: builder.flow(0) })),
    afters: times(chance.whole(0, 3), () => ({
      ...common(),
      job: chance.pick(jobs),
      payload: newPayload(chance),
      which: chance.between(0, 1),
    })),
  }
}

/** Draws flows of any shape. */
class Builder {
  readonly #chance: Chance
  readonly #jobs: readonly SimulatedJob[]

  constructor(chance: Chance, jobs: readonly SimulatedJob[]) {
    this.#chance = chance
    this.#jobs = jobs
  }

  job(): JobRequest<unknown> {
    const chance = this.#chance
    const payload = this.#payload()
    // Members that are duplicates of each other would refuse most flows.
    const unique = chance.happens(0.1) ? payload.unique : chance.uuid()
    const options = chance.happens(0.15) ? { delay: chance.whole(1, 4_000) } : {}
    return chance.pick(this.#jobs).with({ ...payload, unique }, options)
  }

  /** Some runs add a job to their flow before they do what they were to do. */
  #payload(): Payload {
    const payload = newPayload(this.#chance)
    if (!this.#chance.happens(0.15)) return payload
    return { ...payload, acts: [...payload.acts.slice(0, -1), { does: 'addToFlow', ms: 50 }] }
  }

  flow(depth: number): FlowRequest<unknown> {
    const chance = this.#chance
    const options = this.#options()
    const kind = chance.pick(['batch', 'chain', 'graph'] as const)
    if (kind === 'batch')
      return batch(
        this.#list(0, 5, () => this.job()),
        options,
      )
    if (kind === 'chain')
      return chain(
        this.#list(1, 4, () => this.#step(depth)),
        options,
      )
    return flow((f) => {
      const refs: Needed[] = []
      for (let count = chance.whole(1, 6); count > 0; count -= 1) {
        const options = {
          after: refs
            .filter(() => chance.happens(0.4))
            .map((ref) => (chance.happens(0.2) ? ended(ref) : ref)),
          mayFail: chance.happens(0.15),
        }
        refs.push(
          depth < deepest && chance.happens(0.2)
            ? f.flow(this.flow(depth + 1), options)
            : f.job(chance.pick(this.#jobs), { ...this.#payload(), unique: chance.uuid() }, options),
        )
      }
    }, options)
  }

  #step(depth: number): JobRequest<unknown> | FlowRequest<unknown> {
    return depth < deepest && this.#chance.happens(0.3) ? this.flow(depth + 1) : this.job()
  }

  #list<T>(least: number, most: number, make: () => T): T[] {
    return Array.from({ length: this.#chance.whole(least, most) }, make)
  }

  #options(): FlowOptions {
    const chance = this.#chance
    const callback = (): JobRequest<unknown> | undefined => (chance.happens(0.3) ? this.job() : undefined)
    return {
      allowFailures: chance.pick([0, 0, 1, true] as const),
      stopOnFailure: chance.happens(0.7),
      onSuccess: callback(),
      onFailure: callback(),
      onEnd: callback(),
    }
  }
}
