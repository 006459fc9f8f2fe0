import type { FlowBuilder, FlowRequest, JobRequest, MemberOptions, Needed } from '@errand/core'
import { Chance } from './chance.ts'
import { FlowShapes } from './flow-shapes.ts'
import type { MemberSource } from './flow-shapes.ts'
import { newPayload } from './jobs.ts'
import type { Payload, SimulatedJob } from './jobs.ts'

/** One in this many seeds has flows. */
const [flowsEvery, flowsFrom] = [4, 1]
/** Apart from the other choices of a seed, which stay as they were before there were flows. */
const otherSeeds = 2_000_003

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
  const shapes = new FlowShapes(chance, new Members(chance, jobs))
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)
  const common = () => ({
    id: chance.uuid(),
    atMs: chance.between(0, withinMs * 0.7),
    inTransaction: chance.happens(0.15),
  })
  return {
    flows: times(chance.whole(1, 3), () => ({ ...common(), request: shapes.draw() })),
    afters: times(chance.whole(0, 3), () => ({
      ...common(),
      job: chance.pick(jobs),
      payload: newPayload(chance),
      which: chance.between(0, 1),
    })),
  }
}

class Members implements MemberSource {
  readonly #chance: Chance
  readonly #jobs: readonly SimulatedJob[]

  constructor(chance: Chance, jobs: readonly SimulatedJob[]) {
    this.#chance = chance
    this.#jobs = jobs
  }

  request(): JobRequest<unknown> {
    const chance = this.#chance
    const payload = this.#payload()
    // Members that are duplicates of each other would refuse most flows.
    const unique = chance.happens(0.1) ? payload.unique : chance.uuid()
    const options = chance.happens(0.15) ? { delay: chance.whole(1, 4_000) } : {}
    return chance.pick(this.#jobs).with({ ...payload, unique }, options)
  }

  add(to: FlowBuilder, options: MemberOptions): Needed {
    const chance = this.#chance
    return to.job(chance.pick(this.#jobs), { ...this.#payload(), unique: chance.uuid() }, options)
  }

  /** Some runs add a job to their flow before they do what they were to do. */
  #payload(): Payload {
    const payload = newPayload(this.#chance)
    if (!this.#chance.happens(0.15)) return payload
    return { ...payload, acts: [...payload.acts.slice(0, -1), { does: 'addToFlow', ms: 50 }] }
  }
}
