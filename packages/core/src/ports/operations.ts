import type { QueueKey } from '../job/claim.ts'
import type { Lane } from '../job/lane.ts'
import type { JobState } from '../job/state.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Encoded } from './codec.ts'
import type { NewTransfer, Transfer } from './transfer.ts'

/** What operators may do. Each call names who did it, and each is recorded as an event or a visible row. */
export interface Operations {
  /** Cancels waiting jobs at once, and asks running ones to end. Ignores ids that are unknown or final. */
  cancel(ids: readonly string[], note: Note): Promise<CancelReport>
  /**
   * Starts final jobs again: same id, sequence and run counter, attempt 0. What a job remembers stays if it has not succeeded. With
   * `forget` it goes too, and counts as a replay for the idempotency key.
   */
  replay(
    ids: readonly string[],
    note: Note,
    options?: { readonly forget?: boolean | undefined },
  ): Promise<ReplayReport>
  /** Gives the ordering key of failed holders to the next job. */
  skip(
    ids: readonly string[],
    note: Note,
  ): Promise<{ readonly skipped: number; readonly tickets: readonly Ticket[] }>
  /** Edits a job that is live and not running; of a suspended one only its lane. `E_NOT_FOUND`, `E_NOT_ALLOWED`. */
  change(
    id: string,
    to: JobChange,
    note: Note,
  ): Promise<{ readonly state: JobState; readonly ticket: Ticket | undefined }>

  pause(queue: QueueName, note: Note): Promise<void>
  resume(queue: QueueName, note: Note): Promise<void>
  /**
   * No more than `concurrency` jobs of the queue are granted at a time, over all workers. It stops nobody who runs. Undefined takes the
   * limit away.
   */
  limitQueue(queue: QueueName, concurrency: number | undefined, note: Note): Promise<void>
  /** Every queue that has a live job, is paused or limited, or is served. */
  queues(): Promise<readonly QueueRecord[]>
  /**
   * What `doctor` needs of the queues, for logs that count all jobs slowly: queues with ready jobs, paused, limited, or served, with
   * their ready jobs counted up to `atMost`. Without it `doctor` asks `queues`.
   */
  backlogs?(atMost: number): Promise<readonly Backlog[]>
  /** Ordering keys whose holder has failed, with how many wait behind it, counted up to `mostWaitingCounted`. */
  blockedKeys(
    limit: number,
  ): Promise<readonly (QueueKey & { readonly holder: string; readonly waiting: number })[]>

  workers(): Promise<readonly WorkerRecord[]>
  /** Asks a worker, or all workers, to stop. Resolves with how many were asked. */
  stopWorkers(id: string | undefined): Promise<number>

  /** Where the driver has moved, if it ever did. */
  transfer(): Promise<Transfer | undefined>
  /**
   * Writes the record if it still has the revision `after` (0: there is none), and returns what it wrote; undefined
   * if another caller was faster. Workers learn of it with their heartbeats.
   */
  setTransfer(transfer: NewTransfer, after: number): Promise<Transfer | undefined>

  /** Deletes finished jobs, and events, past their retention; at most `limit` jobs in one call. */
  prune(options: PruneOptions): Promise<{ readonly jobs: number; readonly more: boolean }>
  /** What `doctor` reads; never on a hot path. */
  diagnose(): Promise<Diagnosis>
}

export interface Note {
  readonly by: string
  readonly reason?: string | undefined
}

export interface CancelReport {
  /** Cancelled at once. */
  readonly cancelled: number
  /** Running: the request is on record. */
  readonly requested: number
  /** Workers that run one of them. They must be notified. */
  readonly workers: readonly string[]
  /** Successors that became ready. */
  readonly tickets: readonly Ticket[]
}

export interface ReplayReport {
  readonly replayed: number
  /** Refused: their unique key is held by another job. */
  readonly duplicates: readonly string[]
  /** Refused: something that they need has not ended as it must, and was not replayed with them. */
  readonly unmet: readonly string[]
  readonly tickets: readonly Ticket[]
}

export interface JobChange {
  readonly lane?: Lane | undefined
  readonly queue?: QueueName | undefined
  /** Ms since the epoch. */
  readonly runAt?: number | undefined
  readonly payload?: Encoded | undefined
}

export type Backlog = Pick<QueueRecord, 'name' | 'paused' | 'pausedBy' | 'limit' | 'ready'>

/** How many jobs of a queue may run at a time, over all workers. */
export interface QueueLimit {
  readonly concurrency: number
  /** Who set it. */
  readonly by: string
}

/** Jobs behind one ordering key are counted up to this number. */
export const mostWaitingCounted = 10_000

/** The states that may hold any number of jobs. */
export type WaitingState = 'ready' | 'scheduled' | 'blocked' | 'suspended'

export interface QueueRecord {
  readonly name: QueueName
  readonly paused: boolean
  readonly pausedBy: string | undefined
  /** Undefined: it has none. */
  readonly limit: QueueLimit | undefined
  readonly ready: number
  readonly scheduled: number
  readonly blocked: number
  readonly suspended: number
  readonly running: number
  /** Which of the numbers are estimates, because the log does not count so many jobs. */
  readonly estimated: readonly WaitingState[]
}

export interface WorkerRecord {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly label: string | undefined
  readonly queues: readonly QueueName[]
  readonly taking: boolean
  readonly why: string | undefined
  /** Ms since the epoch, by the log's clock. */
  readonly startedAt: number
  readonly lastSeen: number
  /** False: its lease is out, and its runs are lost at the next sweep. */
  readonly alive: boolean
  readonly running: number
  readonly stopping: boolean
  /** Places of the drivers that it serves; first the one that it publishes to. */
  readonly drivers: readonly string[]
}

export interface PruneOptions {
  readonly succeededMs: number
  readonly failedMs: number
  readonly limit: number
}

export interface Diagnosis {
  /** Findings of the log itself, worst first: old snapshots, missing partitions, sweeps that do not run. */
  readonly findings: readonly {
    readonly severity: 'error' | 'warning' | 'info'
    readonly code: string
    readonly message: string
  }[]
}
