import type { EventData, EventRecord } from '../job/events.ts'
import type { QueueKey } from '../job/claim.ts'
import type { FlowCounts, FlowState } from '../job/flow.ts'
import type { NewJob, OnFailure, StoredJob, StoredPolicy } from '../job/job.ts'
import type { Lane } from '../job/lane.ts'
import type { NeedMode } from '../job/need.ts'
import type { EventType, FinalState, JobState } from '../job/state.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Encoded } from '../ports/codec.ts'
import type { FlowFilter, FlowRecord } from '../ports/flows.ts'
import type { JobFilter, Unfinished } from '../ports/history.ts'
import type { Closing, LimitPlace, LimitState } from '../ports/limits.ts'
import type { KnownSchedules, ScheduleRecord } from '../ports/schedules.ts'
import type { Note, QueueLimit, WaitingState } from '../ports/operations.ts'
import type { Transfer } from '../ports/transfer.ts'
import type { StepStore } from './step-store.ts'

/** A job without its payload: what the rules read and write. Times are milliseconds since the epoch. */
export interface JobRow extends StoredPolicy {
  readonly id: string
  readonly name: string
  /** The store sets it at insert, in call order. */
  readonly sequence: number
  readonly orderingKey: string | undefined
  readonly onFailure: OnFailure
  readonly uniqueKey: string | undefined
  readonly uniqueUntil: 'finished' | 'started'
  readonly uniqueForMs: number | undefined
  readonly shareKey: string | undefined
  readonly tags: readonly string[]
  readonly dispatchedAt: number
  readonly expiresAt: number | undefined
  readonly limit: LimitPlace | undefined
  /** The flow that it is a member of. */
  readonly flow: string | undefined
  /** As a member: it does not count if it fails. */
  readonly mayFail: boolean
  /** Whether it was dispatched with needs. */
  hasNeeds: boolean
  /** Whether others need it. */
  needed: boolean
  /** Blocked because of its limit. */
  atLimit: boolean
  queue: QueueName
  lane: Lane
  state: JobState
  run: number
  attempt: number
  crashes: number
  /** Runs lost in a row. */
  streak: number
  /** The version of its newest event. */
  version: number
  worker: string | undefined
  request: string | undefined
  deadline: number | undefined
  runAt: number | undefined
  publishAfter: number | undefined
  publishes: number
  /** Its place in the order of turns. Only a job with a share key has one, while it is ready or runs. */
  turn: number | undefined
  cancelBy: string | undefined
  cancelReason: string | undefined
  parkedSince: number | undefined
  replays: number
  /** When it went on after its last suspension. */
  resumedAt: number | undefined
  finishedAt: number | undefined
  progress: number | undefined
  progressMessage: string | undefined
}

export interface NewEvent {
  readonly jobId: string
  readonly version: number
  readonly type: EventType
  readonly state: JobState
  readonly name: string
  readonly queue: QueueName
  readonly tags: readonly string[]
  readonly at: number
  readonly run: number
  readonly attempt: number
  readonly worker: string | undefined
  readonly data: EventData
  readonly body: Encoded | undefined
}

/** An event as the store keeps it, at a position that only grows. */
export interface StoredEvent extends Omit<EventRecord, 'cursor'> {
  readonly position: number
}

export interface WorkerRow {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly label: string | undefined
  readonly leaseMs: number
  readonly startedAt: number
  queues: readonly QueueName[]
  taking: boolean
  why: string | undefined
  drivers: readonly string[]
  /** Undefined if it has not said. */
  slots: Readonly<Record<QueueName, number>> | undefined
  lastSeen: number
  leaseUntil: number
  stop: boolean
}

/** If `freeAt` is undefined, the key is held until its holder frees it. */
export interface UniqueRow {
  readonly jobId: string
  readonly freeAt: number | undefined
}

/** A queue that is paused or limited. */
export interface HeldQueue {
  readonly name: QueueName
  /** Undefined: it is not paused. */
  readonly pausedBy?: string | undefined
  readonly limit?: QueueLimit | undefined
}

/** A schedule as it is stored. */
export type ScheduleRow = Omit<ScheduleRecord, 'declarerLives'>

/** When a schedule is due: ms since the epoch. */
export interface DueSchedule {
  readonly name: string
  readonly dueAt: number
}

/** Of the jobs of a queue and lane that have a turn. */
export interface Turns {
  /** The highest turn of the jobs of the key. Undefined: it has none. */
  readonly newest: number | undefined
  /** The lowest turn of those that are ready; if all run, the highest. Undefined: no job has a turn. */
  readonly current: number | undefined
}

/** A limit as it is stored. */
export interface LimitRow extends LimitState {
  readonly name: string
  revision: number
  /** The number of the last turn. */
  turn: number
  /** When all tokens of its rate are there again: ms since the epoch, with fractions. */
  tat: number | undefined
  /** When it may let go more. Undefined: as soon as one of its jobs ends. */
  admitAt: number | undefined
  closed: Closing | undefined
}

/** A key of a limit that has jobs, or is closed, or whose tokens are not all there. */
export interface LimitKeyRow extends LimitPlace {
  /** When it was let go last. Keys with lower numbers go first. */
  turn: number
  /** It has jobs that wait, and is not known to be full, closed or without a token: only such keys are looked at. */
  waits: boolean
  /** As in a limit. */
  tat: number | undefined
  admitAt: number | undefined
  closed: Closing | undefined
}

/** Something that a job needs, as it is stored. */
export interface NeedRow {
  readonly child: string
  /** Its place among the needs of the child, from 0 on. */
  readonly index: number
  readonly on: string
  readonly isFlow: boolean
  readonly mode: NeedMode
  readonly name: string | undefined
  /** How it has ended. Undefined: it has not. */
  state: FinalState | undefined
  /** If it has a name: the result or error of the job. */
  body: Encoded | undefined
}

/** A flow as it is stored. */
export interface FlowRow extends FlowRecord {
  readonly mayFail: boolean
  state: FlowState
  /** The version of its newest event. */
  version: number
  total: number
  succeeded: number
  failed: number
  cancelled: number
  forgiven: number
  cancel: Note | undefined
  endedAt: number | undefined
}

export interface MemberRow {
  /** Its place in the flow: it grows. */
  readonly index: number
  readonly id: string
  readonly isFlow: boolean
}

/** What changes in the counts of a flow. */
export type FlowCount = Partial<FlowCounts>

/**
 * Something that is left for later, because a row is locked or because it is much. `job`: look at it again. `ended`: tell those that need
 * it, if it has ended. `flow`: cancel its members after this place. `count`: add to its counts. `caller`: cancel it, because the job that called it was
 * cancelled.
 */
export type Work =
  | { readonly kind: 'job' | 'ended'; readonly id: string }
  | { readonly kind: 'flow'; readonly id: string; readonly after: number }
  | { readonly kind: 'caller'; readonly id: string; readonly caller: string }
  | { readonly kind: 'count'; readonly id: string; readonly count: FlowCount }

export type QueueCounts = Record<WaitingState | 'running', number>

/** What other transactions have locked. */
export interface Contention {
  jobIsLocked(id: string): boolean
  /** A job, unless another transaction has locked it. Never waits for it. */
  freeRow(id: string): JobRow | undefined
  keyIsLocked(key: QueueKey): boolean
  /** Remembers an ordering key that could not be passed on, because its row is locked. */
  noteKey(key: QueueKey): void
  /** Whether this call has noted it. */
  isNoted(key: QueueKey): boolean
  /** Returns at most `limit` of the keys that earlier calls have noted, and forgets them. */
  takeNotes(limit: number): QueueKey[]
  limitIsLocked(name: string): boolean
  /** Remembers a place of a limit whose row is locked. */
  noteLimit(place: LimitPlace): void
  /** Whether this call has noted one of the limit. */
  isLimitNoted(name: string): boolean
  /** As `takeNotes`. */
  takeLimitNotes(limit: number): LimitPlace[]
  flowIsLocked(id: string): boolean
}

/** Facts of the log as a whole. */
export interface LogFacts {
  logId: string
  epoch: number
  lastSweepAt: number | undefined
  /** Nothing is called lost before this moment. */
  holdUntil: number | undefined
  transfer: Transfer | undefined
}

/**
 * The rows that the engine's rules work on. It is synchronous, because every call happens inside one transaction.
 * The caller may change the rows that it returns, and writes them back with `update`.
 */
export interface JobStore extends StepStore {
  /** Missing if transactions run one at a time. */
  readonly contention?: Contention | undefined

  facts(): LogFacts
  saveFacts(facts: LogFacts): void

  /** @throws DamagedRow if the row cannot be read; so do all functions that return rows. */
  row(id: string): JobRow | undefined
  /** Those of the jobs that have not ended. Reads nothing else of them. */
  unfinished(ids: readonly string[]): Unfinished[]
  /** The payload part of an existing job. */
  stored(row: JobRow): StoredJob
  insert(row: Omit<JobRow, 'sequence'>, job: NewJob): JobRow
  update(row: JobRow): void
  /** A new payload, from an operator. */
  savePayload(id: string, payload: Encoded): void
  /** Deletes the job. Its events stay for their own retention. */
  remove(id: string): void
  /** Moves values of the job's row that are out of bounds to the nearest bound, so that the row can be read and changed. */
  mend(id: string): JobRow | undefined
  /** Whether the data caused what a statement or a rule threw, and not, for example, the disk. */
  isRefusedData(error: unknown): boolean

  /** Ready jobs by lane, then by sequence. `lowest` begins with the lowest lane. */
  ready(queue: QueueName, first: 'highest' | 'lowest', limit: number): JobRow[]
  /** Ready jobs that have a turn, by turn, then by sequence. */
  inTurn(queue: QueueName, lane: Lane, limit: number): JobRow[]
  /** Locks nothing. */
  turns(queue: QueueName, lane: Lane, shareKey: string): Turns
  /** Ready jobs past their `publishAfter`, by sequence. */
  overdue(queues: readonly QueueName[], now: number, limit: number): JobRow[]
  /** As `overdue`, in all queues except these. */
  unpublished(except: readonly QueueName[], now: number, limit: number): JobRow[]
  /** Ready jobs whose grace ends later than `after`; the latest first. */
  published(queues: readonly QueueName[], after: number, limit: number): JobRow[]
  /** Scheduled jobs that are due, and suspended ones that have waited for as long as they may, by `runAt`. */
  due(now: number, limit: number): JobRow[]
  nextDue(): number | undefined
  /** Running jobs that are past their deadline, or whose worker has no row, or whose worker's lease is out. */
  lost(now: number, limit: number): JobRow[]
  claimsOf(worker: string): JobRow[]

  holder(key: QueueKey): string | undefined
  setHolder(key: QueueKey, id: string | undefined): void
  /** The live job of the key with the lowest sequence. */
  firstOfKey(key: QueueKey): JobRow | undefined
  blockedKeys(limit: number): (QueueKey & { holder: string; waiting: number })[]

  unique(name: string, key: string): UniqueRow | undefined
  setUnique(name: string, key: string, unique: UniqueRow | undefined): void

  worker(id: string): WorkerRow | undefined
  workers(): WorkerRow[]
  saveWorker(worker: WorkerRow): void
  removeWorker(id: string): void

  heldQueues(): readonly HeldQueue[]
  setPaused(queue: QueueName, by: string | undefined): void
  /** Makes the ready jobs of a queue due for publishing. */
  republishQueue(queue: QueueName, now: number): void
  setQueueLimit(queue: QueueName, limit: QueueLimit | undefined): void
  /** How many jobs of a limited queue run. Whoever asks must be alone with that queue until its end. */
  running(queue: QueueName): number
  counts(): ReadonlyMap<QueueName, QueueCounts>

  schedule(name: string): ScheduleRow | undefined
  schedules(): ScheduleRow[]
  saveSchedule(name: string, schedule: ScheduleRow | undefined): void
  /** One more than `limit` of those that have a time to be due at, by that time. */
  firstSchedules(known: KnownSchedules, limit: number): DueSchedule[]

  limit(name: string): LimitRow | undefined
  limits(): LimitRow[]
  saveLimit(limit: LimitRow): void
  removeLimit(name: string): void
  limitKey(name: string, key: string): LimitKeyRow | undefined
  saveLimitKey(key: LimitKeyRow): void
  removeLimitKey(place: LimitPlace): void
  /** Keys that wait, by their turns. */
  waitingKeys(name: string, limit: number): LimitKeyRow[]
  /** All keys, those that wait first, by their turns. */
  limitKeys(name: string, limit: number): LimitKeyRow[]
  /** Keys whose `admitAt` is past, and limits, by that time. */
  dueLimits(now: number, limit: number): { readonly name: string; readonly key?: string | undefined }[]
  /** The earliest `admitAt`. */
  nextLimit(): number | undefined
  /** Jobs of a limit, or of one of its keys, that are ready or running. */
  heldOf(name: string, key: string | undefined): { readonly ready: number; readonly running: number }
  /** Jobs that wait at this limit and key, except those of these queues, by lane and sequence. */
  atLimit(place: LimitPlace, except: readonly QueueName[], limit: number): JobRow[]
  /** Jobs that wait at this limit, or at one of its keys, counted up to `most`. */
  countAtLimit(name: string, key: string | undefined, most: number): number

  /** In their order. */
  needsOf(child: string): NeedRow[]
  /** Open needs on a job or a flow, in any order. */
  openNeeds(on: string, limit: number): NeedRow[]
  /** Jobs that need this one or this flow. */
  childrenOf(on: string, limit: number): string[]
  saveNeed(need: NeedRow): void
  removeNeeds(child: string): void
  flow(id: string): FlowRow | undefined
  /** Newest first, after the flow with this id. */
  flows(filter: FlowFilter, limit: number, after: string | undefined): FlowRow[]
  saveFlow(flow: FlowRow): void
  addMember(flow: string, member: Omit<MemberRow, 'index'>): void
  members(flow: string, after: number, limit: number): MemberRow[]
  /** Flows that are in no other, have ended in one of these states until a moment, and that no unfinished job needs. */
  endedFlows(states: readonly FinalState[], until: number, limit: number): FlowRow[]
  /** With the places of its members. */
  removeFlow(id: string): void
  addWork(work: Work): void
  /** Whether this call has added work. */
  hasAddedWork(): boolean
  /** Returns at most `limit` of what earlier calls have added, the oldest first, and forgets it. */
  takeWork(limit: number): Work[]

  addEvent(event: NewEvent): void
  /** Removes at most `limit` of the oldest events before a moment: a prefix of the log, so no reader skips events. */
  removeEvents(before: number, limit: number): number
  eventsOf(id: string): StoredEvent[]
  /** Events of a position greater than `after`, in order. */
  events(
    after: number,
    limit: number,
    filter: { job?: string; queue?: QueueName; tag?: string },
  ): StoredEvent[]
  /** The oldest position kept and the newest ever given; `[1, 0]` where there is none yet. */
  span(): readonly [oldest: number, newest: number]

  /** Newest dispatch first, starting after the job with this id. */
  list(filter: JobFilter, limit: number, after: string | undefined): JobRow[]
  /** Final jobs that ended at a moment or before it, hold no key, and are in no flow. */
  finished(states: readonly FinalState[], until: number, limit: number): JobRow[]
}
