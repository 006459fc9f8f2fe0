import type { Claim, Fence, RequestId, Verdict, WorkerRef } from '../job/claim.ts'
import type { NewJob, StoredJob } from '../job/job.ts'
import type { FailureCause, Refused, Settled, Settlement } from '../job/outcome.ts'
import type { JobState } from '../job/state.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Encoded } from './codec.ts'
import type { Clock } from './clock.ts'
import type { History } from './history.ts'
import type { Operations } from './operations.ts'
import type { Transaction } from './transaction.ts'
import type { Transfer } from './transfer.ts'

/**
 * Remembers jobs and decides who may run them. Every method is one round trip for a whole batch, a lost claim is a
 * value, and a broken connection is an exception (`E_LOG_UNREACHABLE`, `undone` where nothing can have come of the call;
 * `E_RIGHTS` for a right that is lacking; `E_LOG` for any other failure).
 * All times that decide anything are read from the log's own clock.
 */
export interface JobLog extends History, Operations {
  /** Version of this interface. */
  readonly port: 1
  readonly name: string

  /** Connects and checks the schema: `E_LOG_VERSION` outside the range that this code can use. Idempotent. */
  connect(): Promise<LogInfo>
  /** Makes or updates the schema; safe from many processes at once. `restored: true` raises the epoch, after a backup was restored. */
  migrate(options?: { readonly restored?: boolean | undefined }): Promise<MigrationReport>
  /**
   * The statements that give these roles of the database their rights on the log, and no others; with `apply` they are
   * run as well. Missing where the database has no roles. `E_OPTION` for a name that no role can have.
   */
  grants?(roles: LogRoles, options: { readonly apply: boolean }): Promise<string>

  /**
   * Stores jobs, in the order given. One that cannot be stored is refused alone, unless `atomic`: then it throws
   * `E_BATCH_REFUSED` and stores none. An id that the log already has, or a unique key that is held, answers `duplicate`.
   * With `tx` it is a statement of the caller's transaction, and always atomic.
   */
  append(jobs: readonly NewJob[], options?: AppendOptions): Promise<readonly Appended[]>

  /** Judges tickets and claims at most `max` of the runnable ones. Refused with `E_LEASE_OUT` when the worker's lease is out. One verdict per ticket, in their order. */
  claim(
    tickets: readonly Ticket[],
    max: number,
    by: WorkerRef,
    request: RequestId,
  ): Promise<readonly Verdict[]>
  /** Claims by order instead of by ticket: the queues in the order given, higher lanes first, then older jobs. Refused as `claim`. */
  take(
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options?: TakeOptions,
  ): Promise<readonly Claim[]>

  /** Records how runs ended. One answer per settlement, in their order; what it cannot record is `refused` alone. */
  settle(settlements: readonly Settlement[], by: WorkerRef): Promise<readonly (Settled | Refused)[]>
  /** Succeeds a run inside the caller's transaction. Throws `E_CLAIM_LOST`, so that the transaction rolls back, when the fence does not match. */
  complete(fence: Fence, result: Encoded | undefined, by: WorkerRef, tx: Transaction): Promise<void>
  /** Passes on the ordering keys whose row was locked when their holder ended. At most `limit`. */
  passKeys(limit: number): Promise<readonly Ticket[]>

  /** Renews the lease of the whole process, records progress, and tells what the worker must know. Registers it on first use. */
  beat(by: WorkerRef, report: BeatReport): Promise<BeatReply>
  /** The worker is gone, in order: its row is removed. Claims that it still holds are lost at the next sweep. */
  leave(by: WorkerRef): Promise<void>

  /**
   * Makes due jobs ready, gives back lost ones, passes on keys, and lists ready jobs that no ticket has fetched.
   * Any number of relays may run it: each row is handled by one of them.
   */
  sweep(options: SweepOptions): Promise<SweepReport>
  /** The broker has durably accepted these republished tickets: their grace doubles, to one hour. */
  published(tickets: readonly Ticket[]): Promise<void>
  /**
   * The tickets of these queues may be gone: starts the grace of their ready jobs over, those with the longest wait ahead
   * first. They are overdue at once, so that relays publish them and workers take them. Passes over rows that are locked,
   * and wakes nobody.
   * @example await log.expedite(['media'], { limit: 500, leftMs: 30_000 })
   */
  expedite(queues: readonly QueueName[], options: ExpediteOptions): Promise<Expedited>

  /** Wakes whoever listens to these topics, in every process where the log can; debounced at both edges. */
  notify(topics: readonly Topic[]): Promise<void>
  /**
   * Yields topics about which something may have happened, this process's own included. May yield too often; a wake-up
   * can be lost, so callers poll as well. Listens before it yields `started`. Ends when the signal aborts.
   */
  wakeups(topics: readonly Topic[], signal: AbortSignal): AsyncIterable<Topic | 'started'>

  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void>
}

export interface LogInfo {
  /** Short id of this log; every ticket carries it. */
  readonly logId: string
  /** Raised after a restore; cursors carry it. */
  readonly epoch: number
  readonly schemaVersion: number
  /** Where the driver has moved, as it stood when the log was connected. */
  readonly transfer?: Transfer | undefined
}

/** Names of roles of the database, by what they may do. A role may stand in two places, and then has the rights of both. */
export interface LogRoles {
  /** Dispatches, and waits for jobs whose ids it knows. */
  readonly dispatcher?: string | undefined
  /** Runs jobs, and dispatches more. */
  readonly worker?: string | undefined
  /** Looks at everything, and acts on jobs, queues and workers. */
  readonly operator?: string | undefined
}

export interface MigrationReport {
  readonly from: number
  readonly to: number
}

export interface AppendOptions {
  readonly tx?: Transaction | undefined
  readonly atomic?: boolean | undefined
  /**
   * Wakes whoever listens to these topics once the jobs are stored, as `notify` does, and sooner: nobody waits for the
   * answer in between. Not with `tx`, whose commit nobody tells the log.
   */
  readonly wake?: readonly Topic[] | undefined
  /** A job whose key another transaction holds is answered `locked` at once, instead of being waited for. Default false. */
  readonly passLocked?: boolean | undefined
}

export type Appended =
  | {
      readonly id: string
      readonly status: 'added'
      readonly state: JobState
      readonly ticket: Ticket | undefined
    }
  /** `id` is that of the live job that holds the unique key, or the one given where that id is stored already. */
  | { readonly id: string; readonly status: 'duplicate' }
  | { readonly id: string; readonly status: 'refused'; readonly why: string }
  /** Not stored, with `passLocked`: another transaction holds its ordering or unique key. Ask again. */
  | { readonly id: string; readonly status: 'locked' }

export interface TakeOptions {
  /** How many of `max` go to the lowest lane that waits (see `LanePolicy`). Default 0. */
  readonly fromLowest?: number | undefined
  /** Only jobs that became ready so long ago that a ticket should have fetched them, oldest first. Default false. */
  readonly overdue?: boolean | undefined
}

export interface Progress extends Fence {
  readonly value: number
  readonly message?: string | undefined
}

export interface BeatReport {
  /** Queues that this process serves. */
  readonly queues: readonly QueueName[]
  /** Whether it asks for deliveries at present, and if not, why. */
  readonly taking: boolean
  readonly why?: string | undefined
  /** Places of the drivers that it serves, that which it publishes to first. Default none. */
  readonly drivers?: readonly string[] | undefined
  /**
   * Runs that have ended, and whose ends the log has refused for long: their deadline is now, whatever their timeout, so that
   * the next sweep calls them lost. Default none.
   */
  readonly givenUp?: readonly Fence[] | undefined
  readonly progress: readonly Progress[]
}

export interface BeatReply {
  /** Every claim that the log holds for this worker. */
  readonly claims: readonly (Fence & {
    readonly cancel?: { readonly by: string; readonly reason?: string | undefined } | undefined
  })[]
  /** Paused queues, of all. */
  readonly paused: readonly QueueName[]
  /** An operator has asked this worker to stop. */
  readonly stop: boolean
  /** Where the driver has moved, if it ever did. */
  readonly transfer?: Transfer | undefined
}

export interface SweepOptions {
  /** Rows per kind of work in one pass. */
  readonly limit: number
  /** Whether to list ready jobs whose grace is over: false for drivers that deliver claims. */
  readonly republish: boolean
  /**
   * Queues that the caller serves. One that it does not serve is left alone while a live worker serves it, whose broker may
   * be another; what nobody serves is everybody's.
   */
  readonly queues: readonly QueueName[]
  /** Queues whose overdue jobs are left alone, untouched: the broker still has a backlog, or refuses. */
  readonly skipQueues: readonly QueueName[]
}

export interface SweepReport {
  /** False when another sweep was running: nothing was done. */
  readonly ran: boolean
  /** To be published now. */
  readonly tickets: readonly Ticket[]
  /** Of `tickets`, those that were published before, or should have been. */
  readonly republished: readonly Ticket[]
  /** Jobs that failed for good because their last run was lost. */
  readonly failed: readonly LostForGood[]
  /** Runs that were lost and go on living. */
  readonly lost: number
  /** A limit was reached: sweep again at once. */
  readonly full: boolean
  /** Milliseconds until the next scheduled job is due, if there is one. */
  readonly nextDueInMs: number | undefined
}

export interface ExpediteOptions {
  /** Rows in one call, at most: it is one short transaction. */
  readonly limit: number
  /**
   * Only jobs whose grace lasts for more than so many milliseconds. Default 0: all of them. With 30 s, the grace of a
   * first ticket, what another process has just published again is left alone, so that any number may call it at once.
   */
  readonly leftMs?: number | undefined
}

export interface Expedited {
  /** Jobs that are overdue now, and were not before. */
  readonly jobs: number
  /** The limit was reached. Relays give the jobs a new grace meanwhile: who calls again with `leftMs: 0` counts to an end of its own. */
  readonly more: boolean
}

export interface LostForGood {
  readonly job: StoredJob
  readonly error: Encoded
  readonly cause: FailureCause
  /** Its last run, and the attempts that count: a run that is lost gives its own back. */
  readonly run: number
  readonly attempt: number
}

/** What a wake-up is about: a queue that has ready jobs, a worker that should beat at once, or new events. */
export type Topic = `queue:${QueueName}` | `worker:${string}` | 'events'

export interface LogContext {
  readonly logger: Logger
  readonly clock: Clock
  /** False: a log that is not there is `E_LOG_VERSION`, though it could be made. Default true. */
  readonly create?: boolean | undefined
}

/** Made by a log's package from its options; opened by core. Opening does no I/O. */
export interface LogFactory {
  readonly errand: 'job-log'
  readonly name: string
  open(context: LogContext): JobLog
  /**
   * How another thread of this process opens the same log, for the heartbeat: a module (file URL) whose export
   * `openHeartbeat(data)` returns a HeartbeatLog, and what it is called with (structured-cloneable). Without it the
   * heartbeat runs on the main thread, and a blocked event loop costs the lease.
   */
  readonly heartbeat?: { readonly module: string; readonly data: unknown } | undefined
}

/** The little that the heartbeat thread needs. */
export type HeartbeatLog = Pick<JobLog, 'beat' | 'close'>
