import type { Cursor, EventRecord } from '../job/events.ts'
import type { StoredJob } from '../job/job.ts'
import type { JobState, StoredState } from '../job/state.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Encoded } from './codec.ts'
import type { LimitPlace } from './limits.ts'

/** What any process may ask a log. */
export interface History {
  /** The job with its state, or undefined. */
  get(id: string): Promise<JobRecord | undefined>
  /** Those of the jobs that have not ended, in any order, with the version of the newest event of each. */
  unfinished(ids: readonly string[]): Promise<readonly Unfinished[]>
  /** One page of jobs, newest dispatch first. `after` is the id of the last job of the previous page. */
  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<readonly JobRecord[]>
  /** The whole history of one job, in order; `[]` for an unknown one. */
  readHistory(id: string): Promise<readonly EventRecord[]>
  /**
   * Events after a cursor, in the order of the log, none missed and none repeated. `next` is the cursor to continue with,
   * also when `events` is empty. Without `after`: from the oldest stored event. Throws `E_CURSOR`.
   */
  read(options: ReadOptions): Promise<{ readonly events: readonly EventRecord[]; readonly next: Cursor }>
  /** The position after the newest event, where following "from now" begins. */
  end(): Promise<Cursor>
  /** Compares cursors. With it, one reader serves all followers of a process. Without it, each reads for itself. */
  readonly places?: Places | undefined
}

/**
 * What is known of cursors without asking the log. Each may throw `E_CURSOR` for cursors that cannot be compared, as those
 * of two epochs. A follower with such a cursor reads for itself.
 */
export interface Places {
  /** A cursor after which `read` gives all that it gives after any of these. It may give more. */
  earliest(cursors: readonly Cursor[]): Cursor
  /** Whether `read` gives the event with the cursor `event` after the cursor `after`. */
  isAfter(after: Cursor, event: Cursor): boolean
  /** The cursor of one who was at `after` and has seen all up to `to`. What `after` leaves out stays left out. */
  advance(after: Cursor, to: Cursor): Cursor
}

export interface Unfinished {
  readonly id: string
  readonly version: number
}

export interface ReadOptions {
  readonly after?: Cursor | undefined
  readonly limit: number
  /** Every committed event of this job is shown, even if other transactions are open. */
  readonly job?: string | undefined
  readonly queue?: QueueName | undefined
  readonly tag?: string | undefined
}

export interface JobRecord extends StoredJob {
  readonly state: StoredState
  readonly run: number
  readonly attempt: number
  readonly crashes: number
  readonly maxAttempts: number
  /** The worker that runs it, or undefined. */
  readonly worker: string | undefined
  /** When it is due, ms since the epoch, while it is scheduled. */
  readonly runAt: number | undefined
  /** When it reached its final state, or as a failed job gave its ordering key away. Its retention counts from then. */
  readonly finishedAt: number | undefined
  readonly cancelRequested: boolean
  readonly uniqueKey: string | undefined
  readonly shareKey: string | undefined
  /** Its limit, and whether it is blocked because of it. */
  readonly limit: (LimitPlace & { readonly waits: boolean }) | undefined
  /** The flow that it is a member of. */
  readonly flow: string | undefined
  /** Whether it waits for something that it needs. */
  readonly waitsForNeeds: boolean
  readonly progress: { readonly value: number; readonly message: string | undefined } | undefined
  readonly result: Encoded | undefined
  /** The last error, also while the job waits for its retry. */
  readonly error: Encoded | undefined
}

export interface JobFilter {
  readonly name?: string | undefined
  readonly queue?: QueueName | undefined
  readonly state?: JobState | undefined
  readonly tag?: string | undefined
  /** Dispatched before this moment, ms since the epoch. */
  readonly before?: number | undefined
}
