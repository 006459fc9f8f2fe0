import { expect } from 'vitest'
import type { JobLog, JobRecord, StoredEventType, StoredState, WorkerRef } from '@errand/core/ports'
import { checkHistory, describeViolations } from '../history/check.ts'
import type { Scene } from '../job-log/scene.ts'
import type { ModelJob } from './job.ts'
import type { LifecycleRules } from './rules.ts'

/** So long that no machine needs as much, and such that multiples of two of them never end at the same time. */
export const times: Readonly<Record<'lease' | 'step' | 'delay' | 'timeout' | 'uniqueFor' | 'far', number>> = {
  lease: 95 * 60_000,
  step: 10 * 60_000,
  delay: 25 * 60_000,
  timeout: 35 * 60_000,
  uniqueFor: 35 * 60_000,
  far: 10 * 86_400_000,
}

/** The log that is compared with the rules: its queues, its workers, and what was granted to them. */
export class World {
  readonly on: Scene
  readonly workers: readonly WorkerRef[]
  readonly otherQueue: string
  /** Every grant so far. Each may be settled, in time or late. */
  readonly grants: { readonly id: string; readonly run: number; readonly worker: WorkerRef }[] = []
  /** The last claim or take of each worker, which it may repeat. */
  readonly requests: Map<string, { readonly request: string; readonly ids: readonly string[] }> = new Map()

  constructor(on: Scene, workers: readonly WorkerRef[]) {
    this.on = on
    this.workers = workers
    this.otherQueue = on.newQueue()
  }

  get log(): JobLog {
    return this.on.log
  }

  records(): Promise<readonly JobRecord[]> {
    return this.log.list({ name: this.on.jobName }, { limit: 1_000 })
  }

  /** Compares what the log and the rules say about every job. */
  async compare(rules: LifecycleRules): Promise<void> {
    // What follows from an end may be left for later, step by step.
    for (const { needs } of rules.jobs) if (needs.length > 0) await this.log.passNotes(500)
    const records = await this.records()
    const expected = rules.jobs.toReversed().map(toSnapshot)
    expect(records.map(recorded)).toEqual(expected)
  }

  /** Compares every history at the end, event by event, and checks the invariants on all of them. */
  async compareHistories(rules: LifecycleRules): Promise<void> {
    const histories = await Promise.all(rules.jobs.map(({ job }) => this.log.readHistory(job.id)))
    const stories = histories.map((events) => events.map(({ type }): StoredEventType => type))
    expect(stories).toEqual(rules.jobs.map(({ story }) => story))
    const violations = checkHistory({
      events: histories.flat(),
      needs: new Map(rules.jobs.map(({ job, needs }) => [job.id, needs])),
      dispatched: rules.jobs.map(({ job }) => ({
        id: job.id,
        onFailure: job.ordering?.onFailure,
        onCrash: job.onCrash,
      })),
    })
    expect(describeViolations(violations)).toBe('')
  }
}

interface Snapshot {
  readonly id: string
  readonly state: StoredState
  readonly queue: string
  readonly lane: string
  readonly run: number
  readonly attempt: number
  readonly crashes: number
  readonly worker: string | undefined
  readonly cancelRequested: boolean
}

function toSnapshot({
  job,
  state,
  queue,
  lane,
  run,
  attempt,
  crashes,
  worker,
  cancelling,
}: ModelJob): Snapshot {
  return { id: job.id, state, queue, lane, run, attempt, crashes, worker, cancelRequested: cancelling }
}

function recorded({
  id,
  state,
  queue,
  lane,
  run,
  attempt,
  crashes,
  worker,
  cancelRequested,
}: JobRecord): Snapshot {
  return { id, state, queue, lane, run, attempt, crashes, worker, cancelRequested }
}
