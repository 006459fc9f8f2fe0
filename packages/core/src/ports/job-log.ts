import type { Claim, Fence, RequestId, Verdict, WorkerRef } from '../job/claim.ts'
import type { Debounce, NewJob, StoredJob } from '../job/job.ts'
import type { FailureCause, Refused, Settled, Settlement } from '../job/outcome.ts'
import type { Lane } from '../job/lane.ts'
import type { NewFlow } from '../job/flow.ts'
import type { JobState } from '../job/state.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Encoded } from './codec.ts'
import type { Clock } from './clock.ts'
import type { Flows } from './flows.ts'
import type { History } from './history.ts'
import type { Limits } from './limits.ts'
import type { Memory } from './memory.ts'
import type { Operations } from './operations.ts'
import type { KnownSchedules, Schedules } from './schedules.ts'
import type { Transaction } from './transaction.ts'
import type { Transfer } from './transfer.ts'

/**
 * Remembers jobs and decides who may run them. Every method is one round trip for a whole batch. A lost claim is a
 * value. Failures are exceptions: `E_LOG_UNREACHABLE` for a broken connection (with `undone` if the call can have had no
 * effect), `E_RIGHTS` for a missing right, `E_LOG` for everything else.
 * The log's own clock gives all times that decide anything.
 */
export interface JobLog extends History, Operations, Schedules, Limits, Flows, Memory {
  /** Version of this interface. */
  readonly port: 1
  readonly name: string
  /** The most jobs and flows that one call of `append` with flows may store. Default 20,000. */
  readonly mostInFlow?: number | undefined

  /** Connects and checks the schema: `E_LOG_VERSION` outside the range that this code can use. Idempotent. */
  connect(): Promise<LogInfo>
  /** Makes or updates the schema; safe from many processes at once. `restored: true` raises the epoch, after a backup was restored. */
  migrate(options?: { readonly restored?: boolean | undefined }): Promise<MigrationReport>
  /**
   * The statements that give these roles of the database their rights on the log, and no other rights. With `apply` it
   * also runs them. Missing if the database has no roles. `E_OPTION` for a name that no role can have.
   */
  grants?(roles: LogRoles, options: { readonly apply: boolean }): Promise<string>

  /**
   * Stores jobs, in the order given. A job that cannot be stored is refused alone. With `atomic` the call then throws
   * `E_BATCH_REFUSED` and stores none. An id that the log already has, or a unique key that is held, answers `duplicate`.
   * With `tx` it is a statement of the caller's transaction, and always atomic.
   *
   * A call with `flows`, or with jobs that have `flow` or `needs`, stores all or nothing. It does not throw for what is in the way: each
   * job at fault says what (a unique key that another job holds: `duplicate`; `unknown-need`; `flow-ended`), and the others are
   * `withheld`. An id that is stored is in nobody's way. If the first flow is stored already, every job answers `duplicate`.
   */
  append(jobs: readonly NewJob[], options?: AppendOptions): Promise<readonly Appended[]>

  /**
   * Gives a job that has not started a newer payload. If it is scheduled, it is due `waitMs` from now, and at the latest
   * `atMostMs` after it was dispatched. `started`: it runs, has ended, or is not there, and nothing has changed. With `tx` it is a
   * statement of the caller's transaction. May wait for a row that another transaction has locked.
   */
  debounce(id: string, payload: Encoded, debounce: Debounce, tx?: Transaction): Promise<Debounced>

  /**
   * Checks tickets and claims at most `max` of the runnable ones, the first ones first. Throws `E_LEASE_OUT` when the worker's
   * lease is out. One verdict per ticket, in their order.
   */
  claim(
    tickets: readonly Ticket[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options?: ClaimOptions,
  ): Promise<readonly Verdict[]>
  /**
   * Claims by order instead of by ticket. The queues that have ready jobs share `max` evenly, and the first ones of the list
   * get what is left over; within a queue higher lanes go first, then older jobs. Throws as `claim` does.
   */
  take(
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options?: TakeOptions,
  ): Promise<readonly Claim[]>

  /** Records how runs ended. One answer per settlement, in their order. A settlement that it cannot record is `refused` alone. */
  settle(settlements: readonly Settlement[], by: WorkerRef): Promise<readonly (Settled | Refused)[]>
  /**
   * `settle` and then `take`, in one round trip and one transaction, so that jobs which the outcomes made ready may be among the
   * claims. A settlement that needs a call of its own, such as one whose row is locked, answers undefined: nothing waits
   * for it. If either part fails, both throw. Then nothing is recorded, or the answer was lost, and the
   * caller does each apart, with the same request. Missing if that is no cheaper.
   */
  settleAndTake?(
    settlements: readonly Settlement[],
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options?: TakeOptions,
  ): Promise<SettledAndTaken>
  /** Succeeds a run inside the caller's transaction. Throws `E_CLAIM_LOST` when the fence does not match, so that the transaction rolls back. */
  complete(fence: Fence, result: Encoded | undefined, by: WorkerRef, tx: Transaction): Promise<void>
  /**
   * Does at most `limit` of each kind of thing that were noted instead of done, because a row was locked or because it was much: keys
   * and limits to pass on, jobs to look at again, ends to tell those that need them. Returns the tickets of jobs that are ready now.
   */
  passNotes(limit: number): Promise<readonly Ticket[]>

  /** Renews the lease of the whole process, records progress, and returns what the worker must know. The first call registers the worker. */
  beat(by: WorkerRef, report: BeatReport): Promise<BeatReply>
  /** The queues that live workers serve. Cheap: dispatchers ask every few seconds. */
  served(): Promise<readonly ServedQueue[]>
  /** The worker ends in order: its row is removed. Claims that it still holds are lost at the next sweep. */
  leave(by: WorkerRef): Promise<void>

  /**
   * Makes due jobs ready, gives back lost ones, passes on keys, and lists ready jobs that no ticket has fetched.
   * Any number of relays may run it: each row is handled by one of them.
   */
  sweep(options: SweepOptions): Promise<SweepReport>
  /** The broker has durably accepted these republished tickets: their grace doubles, to one hour. */
  published(tickets: readonly Ticket[]): Promise<void>
  /**
   * For queues whose tickets may be gone. It starts the grace of their ready jobs over, beginning with the jobs that would
   * wait longest. They are overdue at once, so that relays publish them and workers take them. It skips locked rows, and
   * wakes nobody.
   * @example await log.expedite(['media'], { limit: 500, leftMs: 30_000 })
   */
  expedite(queues: readonly QueueName[], options: ExpediteOptions): Promise<Expedited>

  /** Wakes the listeners of these topics, also in other processes if the log can; debounced at both edges. */
  notify(topics: readonly Topic[]): Promise<void>
  /**
   * Yields topics with possible news, also news of this process. It may yield too often. A wake-up
   * can be lost, so callers poll as well. It listens before it yields `started`, and ends when the signal aborts.
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

/** Names of database roles, by what they may do. A role may be named twice, and then has the rights of both. */
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
  /** Flows to store before the jobs; an inner one after its outer one. One without members ends at once. */
  readonly flows?: readonly NewFlow[] | undefined
  /**
   * Wakes the listeners of these topics once the jobs are stored. It is faster than `notify`, because nothing waits for the
   * answer in between. Not with `tx`: the log does not learn of its commit.
   */
  readonly wake?: readonly Topic[] | undefined
  /** Answers `locked` at once for a job whose key another transaction holds, instead of waiting. Default false. */
  readonly passLocked?: boolean | undefined
}

export type Appended =
  | {
      readonly id: string
      readonly status: 'added'
      readonly state: JobState
      readonly ticket: Ticket | undefined
    }
  /** `id` is that of the live job that holds the unique key, or the given id if it is stored already. */
  | { readonly id: string; readonly status: 'duplicate' }
  | { readonly id: string; readonly status: 'refused'; readonly why: string }
  /** Not stored, with `passLocked`: another transaction holds its ordering or unique key. Ask again. */
  | { readonly id: string; readonly status: 'locked' }
  /** Not stored: the log has no such job or flow. */
  | { readonly id: string; readonly status: 'unknown-need'; readonly need: string }
  /** Not stored: its flow has ended, is being cancelled, or is not there. */
  | { readonly id: string; readonly status: 'flow-ended'; readonly flow: string }
  /** Not stored, because of another job of the call. */
  | { readonly id: string; readonly status: 'withheld' }

export type Debounced =
  /** The ticket of a job that is ready now and was not before. */
  { readonly status: 'replaced'; readonly ticket: Ticket | undefined } | { readonly status: 'started' }

export interface ClaimOptions {
  /**
   * At most this many of the tickets that name this lane, and none of a lane that is missing here. So a message that came
   * whole gets no more than its lane's share. Default: only `max` limits them.
   */
  readonly perLane?: Readonly<Partial<Record<Lane, number>>> | undefined
}

export interface TakeOptions {
  /** How many of `max` go to the lowest lanes that wait (see `LanePolicy`); the queues share these as well. Default 0. */
  readonly fromLowest?: number | undefined
  /** Only overdue jobs (a ticket should have fetched them by now), oldest first. Default false. */
  readonly overdue?: boolean | undefined
  /**
   * Is told which of the queues have no place left, because as many of their jobs run as their limits allow. It may be told too
   * often: then the caller only asks later. Default: nobody is told.
   */
  readonly full?: ((queues: readonly QueueName[]) => void) | undefined
}

export interface SettledAndTaken {
  /** One for each settlement, in their order. Undefined: it must be settled apart. */
  readonly settled: readonly (Settled | undefined)[]
  readonly claims: readonly Claim[]
}

export interface Progress extends Fence {
  readonly value: number
  readonly message?: string | undefined
}

export interface BeatReport {
  /** Queues that this process serves. */
  readonly queues: readonly QueueName[]
  /**
   * How many jobs of each of these queues it takes at a time: as many as it runs; fewer, down to 0, where its jobs take so long
   * that it takes less than twice as many in half a second. A worker that says so reads messages with several tickets. Default:
   * it reads none.
   */
  readonly slots?: Readonly<Record<QueueName, number>> | undefined
  /** Whether it asks for deliveries at present, and if not, why. */
  readonly taking: boolean
  readonly why?: string | undefined
  /** Places of the drivers that it serves; first the one that it publishes to. Default none. */
  readonly drivers?: readonly string[] | undefined
  /**
   * Runs that have ended, and whose outcomes the log has refused for long. The log sets their deadline to now, whatever their
   * timeout, so that the next sweep calls them lost. Default none.
   */
  readonly givenUp?: readonly Fence[] | undefined
  readonly progress: readonly Progress[]
}

export interface ServedQueue {
  readonly queue: QueueName
  /** Live workers that serve it, at least one. */
  readonly workers: number
  /** The slots of the worker that has the fewest. Undefined if one of them has not said: it reads no message with several tickets. */
  readonly slots: number | undefined
}

export interface BeatReply {
  /** Every claim that the log holds for this worker. */
  readonly claims: readonly (Fence & {
    readonly cancel?: { readonly by: string; readonly reason?: string | undefined } | undefined
  })[]
  /** All paused queues. */
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
   * Queues that the caller serves. A queue that it does not serve is left alone while a live worker serves it, because that
   * worker may have another broker. Any caller takes queues that nobody serves.
   */
  readonly queues: readonly QueueName[]
  /** Queues whose overdue jobs are not touched: the broker still has a backlog, or refuses. */
  readonly skipQueues: readonly QueueName[]
  /** The schedules to look for. Default none. */
  readonly schedules?: KnownSchedules | undefined
}

export interface SweepReport {
  /** False when another sweep was running: nothing was done. */
  readonly ran: boolean
  /** To be published now. */
  readonly tickets: readonly Ticket[]
  /** The part of `tickets` that was published before, or should have been. */
  readonly republished: readonly Ticket[]
  /** Jobs that failed for good because their last run was lost. */
  readonly failed: readonly LostForGood[]
  /** Lost runs whose jobs go on. */
  readonly lost: number
  /** A limit was reached: sweep again at once. */
  readonly full: boolean
  /** Names of schedules that are due, of those that the caller knows; the longest due first. */
  readonly schedules: readonly string[]
  /** Milliseconds until the next scheduled job, or the next known schedule, is due. */
  readonly nextDueInMs: number | undefined
}

export interface ExpediteOptions {
  /** At most this many rows in one call: it is one short transaction. */
  readonly limit: number
  /**
   * Only jobs whose grace still lasts for more than this many milliseconds. Default 0: all of them. With 30 s, the grace of
   * a first ticket, jobs that another process has just published again are left alone, so any number may call it at once.
   */
  readonly leftMs?: number | undefined
}

export interface Expedited {
  /** Jobs that are overdue now, and were not before. */
  readonly jobs: number
  /** The limit was reached. Relays give the jobs a new grace at the same time, so a caller that repeats with `leftMs: 0` must end by itself. */
  readonly more: boolean
}

export interface LostForGood {
  readonly job: StoredJob
  readonly error: Encoded
  readonly cause: FailureCause
  /** The last run, and the attempts that count. A lost run does not count as an attempt. */
  readonly run: number
  readonly attempt: number
}

/** What a wake-up is about: a queue that has ready jobs, a worker that should beat at once, or new events. */
export type Topic = `queue:${QueueName}` | `worker:${string}` | 'events'

export interface LogContext {
  readonly logger: Logger
  readonly clock: Clock
  /** False: a missing log is `E_LOG_VERSION`, although it could be made. Default true. */
  readonly create?: boolean | undefined
}

/** A log's package makes it from its options, and core opens it. Opening does no I/O. */
export interface LogFactory {
  readonly errand: 'job-log'
  readonly name: string
  open(context: LogContext): JobLog
  /**
   * How the heartbeat thread of this process opens the same log: a module (file URL) whose export
   * `openHeartbeat(data)` returns a HeartbeatLog, and its argument (structured-cloneable). Without it the
   * heartbeat runs on the main thread, and a blocked event loop loses the lease.
   */
  readonly heartbeat?: { readonly module: string; readonly data: unknown } | undefined
}

/** The part of a log that the heartbeat thread needs. */
export type HeartbeatLog = Pick<JobLog, 'beat' | 'close'>
