import { lanes } from '@errand/core/ports'
import type { JobOptions } from '@errand/core'
import type { Chance } from './chance.ts'
import { briefPayload, defineJobs, newPayload } from './jobs.ts'
import type { Payload, SimulatedJob } from './jobs.ts'
import { planFlows } from './flow-plan.ts'
import type { FlowPlan } from './flow-plan.ts'
import { planLimits } from './limit-plan.ts'
import { planSchedules } from './schedule-plan.ts'
import { planSteps } from './step-plan.ts'
import type { PlannedSteps } from './step-plan.ts'
import type { SchedulePlan } from './schedule-plan.ts'

export const driverUrls = ['simulated:a', 'simulated:b', 'database'] as const
export type DriverUrl = (typeof driverUrls)[number]

export interface PlannedDispatch {
  readonly atMs: number
  /** Dispatched inside the caller's own transaction. */
  readonly inTransaction: boolean
  /** The caller waits for the end of the job. */
  readonly awaitsResult: boolean
  /** If there are several: all of them or none. */
  readonly requests: readonly {
    readonly job: SimulatedJob
    readonly payload: Payload
    readonly options: JobOptions
  }[]
}

export interface WorkerSettings {
  readonly concurrency: number | Readonly<Record<string, number>>
  readonly lease: number
  readonly heartbeat: number
  readonly grace: number
}

/** One in this many seeds has jobs that end at once, so that workers prefetch some. */
const briefEvery = 8
/** One in this many seeds has workers that serve different queues. */
const [partialEvery, partialFrom] = [8, 6]

/** What is done in one run. `Faults` says what goes wrong in it. */
export class Scenario {
  readonly queues: readonly string[]
  readonly jobs: readonly SimulatedJob[]
  readonly dispatches: readonly PlannedDispatch[]
  readonly dispatchers: number
  readonly workers: number
  /** The queues of each worker, in turns. */
  readonly served: readonly (readonly string[])[]
  /** Its tickets are accepted, and nobody has the right to take them or to count them. */
  readonly unreadable: string | undefined
  readonly driver: DriverUrl
  /** The system moves from driver to driver. */
  readonly moves: boolean
  /** Operators change jobs, queues and workers. */
  readonly operated: boolean
  /** Somebody follows the events. */
  readonly followed: boolean
  /** Some workers are of an older version, and do not know every job. */
  readonly rolling: boolean
  readonly schedules: SchedulePlan | undefined
  /** Some of its jobs have limits. */
  readonly isLimited: boolean
  readonly flows: FlowPlan | undefined
  /** Jobs with steps. */
  readonly steps: readonly PlannedSteps[]
  /** How long things go wrong. */
  readonly troubleMs: number

  constructor(seed: number, chance: Chance) {
    const hasBrief = seed % briefEvery === 0
    const isPartial = seed % partialEvery === partialFrom
    this.queues = ['red', 'green', 'blue'].slice(0, chance.whole(isPartial ? 2 : 1, 3))
    const drawLimit = planLimits(seed)
    this.isLimited = drawLimit !== undefined
    this.jobs = defineJobs(chance, this.queues, hasBrief, drawLimit)
    this.dispatchers = chance.whole(1, 2)
    this.served = isPartial ? this.queues.map((queue) => [queue]) : [this.queues]
    const workers = Math.max(this.served.length, chance.pick([1, 1, 2, 2, 3]))
    this.driver = chance.happens(0.2) ? 'database' : 'simulated:a'
    this.unreadable =
      isPartial && this.driver !== 'database' && chance.happens(0.7) ? chance.pick(this.queues) : undefined
    this.moves = chance.happens(0.15) && this.unreadable === undefined
    this.operated = chance.happens(0.4)
    this.followed = chance.happens(0.25)
    const rolling = chance.happens(0.15)
    this.troubleMs = chance.pick([3_000, 8_000, 16_000])
    const count = chance.whole(2, 14)
    this.dispatches = [
      ...Array.from({ length: count }, () => planned(chance, this.jobs, this.troubleMs)),
      ...(hasBrief ? briefOnes(chance, this.jobs, this.troubleMs) : []),
    ]
    this.flows = planFlows(seed, this.jobs, this.troubleMs)
    this.steps = planSteps(seed, this.troubleMs)
    this.schedules = planSchedules(seed, chance, this.jobs)
    const hasVersions = this.schedules !== undefined && chance.happens(0.6)
    this.rolling = rolling || hasVersions
    this.workers = hasVersions ? Math.max(2, workers) : workers
  }
}

export function workerSettings(chance: Chance, queues: readonly string[]): WorkerSettings {
  const lease = chance.pick([1_500, 3_000, 8_000])
  return {
    concurrency: chance.happens(0.2)
      ? { [queues[0] ?? '*']: chance.whole(1, 2), '*': chance.whole(1, 3) }
      : chance.whole(1, 4),
    lease,
    heartbeat: Math.floor(lease / chance.pick([3, 5])),
    grace: chance.pick([500, 3_000]),
  }
}

function planned(chance: Chance, jobs: readonly SimulatedJob[], withinMs: number): PlannedDispatch {
  const together = chance.happens(0.15) ? chance.whole(2, 3) : 1
  const requests = Array.from({ length: together }, () => ({
    job: chance.pick(jobs),
    payload: newPayload(chance),
    options: drawOptions(chance),
  }))
  return {
    atMs: chance.between(0, withinMs * 0.8),
    inTransaction: chance.happens(0.1),
    awaitsResult: chance.happens(0.1),
    requests,
  }
}

/** Enough jobs at a time for a worker to learn how brief they are, with a long one among them now and then. */
function briefOnes(
  chance: Chance,
  [job]: readonly SimulatedJob[],
  withinMs: number,
): readonly PlannedDispatch[] {
  if (!job) return []
  return Array.from({ length: 3 }, () => ({
    atMs: chance.between(0, withinMs * 0.8),
    inTransaction: false,
    awaitsResult: false,
    requests: Array.from({ length: 60 }, () => ({
      job,
      payload: chance.happens(0.02) ? newPayload(chance) : briefPayload,
      options: {},
    })),
  }))
}

function drawOptions(chance: Chance): JobOptions {
  return {
    ...(chance.happens(0.3) ? { lane: chance.pick(lanes) } : {}),
    ...(chance.happens(0.2) ? { delay: chance.whole(1, 8_000) } : {}),
    ...(chance.happens(0.3) ? { id: chance.uuid() } : {}),
  }
}
