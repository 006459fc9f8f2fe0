import type { EventType, FinalState, JobState, NeedMode, NewJob } from '@errand/core/ports'

export interface ModelNeed {
  readonly on: string
  readonly mode: NeedMode
  /** How it has ended. Undefined: it has not. */
  state: FinalState | undefined
}

export interface ModelJob {
  readonly job: NewJob
  /** Its place in the order of dispatch. */
  readonly order: number
  readonly dispatchedAt: number
  queue: string
  lane: NewJob['lane']
  state: JobState
  run: number
  attempt: number
  crashes: number
  streak: number
  worker: string | undefined
  request: string | undefined
  runAt: number | undefined
  deadline: number | undefined
  cancelling: boolean
  readonly needs: ModelNeed[]
  /** Every event so far. */
  readonly story: EventType[]
  /** The event of each run that its own worker ended. */
  readonly endings: Map<number, { readonly worker: string; readonly event: EventType }>
  readonly fenced: Set<number>
  /** Due within a minute of real time. A slow machine may take that long, so only the log can say whether it is due. */
  soon: boolean
}

/** A job that was just dispatched and has no state yet. */
export function newModelJob(job: NewJob, order: number, now: number): ModelJob {
  return {
    job,
    order,
    dispatchedAt: now,
    queue: job.queue,
    lane: job.lane,
    state: 'ready',
    run: 0,
    attempt: 0,
    crashes: 0,
    streak: 0,
    worker: undefined,
    request: undefined,
    runAt: undefined,
    deadline: undefined,
    cancelling: false,
    needs: [],
    story: [],
    endings: new Map(),
    fenced: new Set(),
    soon: false,
  }
}
