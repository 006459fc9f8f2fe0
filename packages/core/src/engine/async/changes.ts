import type { QueueKey } from '../../job/claim.ts'
import type { NewJob } from '../../job/job.ts'
import type { NewMessage } from '../../job/memory.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { QueueLimit } from '../../ports/operations.ts'
import type { Encoded } from '../../ports/codec.ts'
import type { LimitPlace } from '../../ports/limits.ts'
import type {
  FlowRow,
  JobRow,
  LimitKeyRow,
  LimitRow,
  LogFacts,
  MemberRow,
  NeedRow,
  NewEvent,
  ScheduleRow,
  UniqueRow,
  Work,
  WorkerRow,
} from '../store.ts'
import type { StepRow } from '../step-store.ts'

/** What one call changes, to be written at once. If a value is undefined, its row is deleted. */
export interface Changes {
  facts: LogFacts | undefined
  /** The database gives each its sequence, in this order. `sequence` in the row means nothing. */
  readonly inserted: Map<string, { readonly row: JobRow; readonly job: NewJob }>
  readonly updated: Map<string, JobRow>
  readonly payloads: Map<string, Encoded>
  /** Jobs to delete. Their events stay. */
  readonly removed: Set<string>
  readonly keys: Map<string, QueueKey & { readonly holder: string | undefined }>
  /** Ordering keys to note, because their rows were locked when their holders ended. One key may be noted twice. */
  readonly notes: QueueKey[]
  /** Notes to delete: those that `notes` was answered with. */
  readonly notesTaken: QueueKey[]
  readonly uniques: Map<
    string,
    { readonly name: string; readonly key: string; readonly unique: UniqueRow | undefined }
  >
  readonly workers: Map<string, WorkerRow | undefined>
  readonly schedules: Map<string, ScheduleRow | undefined>
  readonly limits: Map<string, LimitRow | undefined>
  readonly limitKeys: Map<string, LimitPlace & { readonly row: LimitKeyRow | undefined }>
  /** Places to note, because the rows of their limits were locked. One place may be noted twice. */
  readonly limitNotes: LimitPlace[]
  /** Notes to delete: those that `limitNotes` was answered with. */
  readonly limitNotesTaken: LimitPlace[]
  readonly needs: Map<string, NeedRow>
  /** Jobs whose needs are deleted. */
  readonly needsRemoved: Set<string>
  readonly flows: Map<string, FlowRow | undefined>
  /** New places of members, behind all others of their flows, in this order. */
  readonly members: (Omit<MemberRow, 'index'> & { readonly flow: string })[]
  /** What is left for later. */
  readonly work: Work[]
  /** To delete: what `work` was answered with. */
  readonly workTaken: Work[]
  /** Steps and waits to store, or to replace those of the same job and name. */
  readonly steps: Map<string, StepRow>
  /** Messages to store, in the order in which they came. */
  readonly messages: { readonly message: NewMessage; readonly at: number }[]
  /** Messages that are not unread any more. Some of them may be among `messages`: those need not be stored. */
  readonly messagesTaken: { readonly job: string; readonly id: string }[]
  /** Jobs whose steps, waits and messages are deleted, before any others are stored. */
  readonly forgotten: Set<string>
  /** Who has paused each queue; undefined: nobody. */
  readonly paused: Map<QueueName, string | undefined>
  /** The limit of each queue; undefined: none. */
  readonly queueLimits: Map<QueueName, QueueLimit | undefined>
  /** The ready jobs of this queue become due for publishing: `publishAfter = now`, `publishes = 0`. */
  republish: { readonly queue: QueueName; readonly now: number } | undefined
  /** At most `limit` of the oldest events before a moment go. */
  oldEvents: { readonly before: number; readonly limit: number } | undefined
  /** In the order of the log. */
  readonly events: NewEvent[]
}

export function createChanges(): Changes {
  return {
    facts: undefined,
    inserted: new Map(),
    updated: new Map(),
    payloads: new Map(),
    removed: new Set(),
    keys: new Map(),
    notes: [],
    notesTaken: [],
    uniques: new Map(),
    workers: new Map(),
    schedules: new Map(),
    limits: new Map(),
    limitKeys: new Map(),
    limitNotes: [],
    limitNotesTaken: [],
    needs: new Map(),
    needsRemoved: new Set(),
    flows: new Map(),
    members: [],
    work: [],
    workTaken: [],
    steps: new Map(),
    messages: [],
    messagesTaken: [],
    forgotten: new Set(),
    paused: new Map(),
    queueLimits: new Map(),
    republish: undefined,
    oldEvents: undefined,
    events: [],
  }
}
