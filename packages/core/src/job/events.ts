import type { Encoded } from '../ports/codec.ts'
import type { FlowCounts } from './flow.ts'
import type { CancelCause } from './need.ts'
import type { FailureCause } from './outcome.ts'
import type { ReleaseReason } from './release.ts'
import type { StoredEventType, StoredState } from './state.ts'
import type { QueueName } from './ticket.ts'

/** An opaque position in a log's history; it carries the log's epoch. */
export type Cursor = string

/** One row of history, as the log stores it. `body` is the result of `succeeded`, the error of `errored`, `failed` and `lost`. */
export interface EventRecord {
  readonly cursor: Cursor
  readonly jobId: string
  /** Counts the events of this job from 1 without a gap. Only the version orders them. */
  readonly version: number
  readonly type: StoredEventType
  /** The job's state after it. */
  readonly state: StoredState
  readonly name: string
  readonly queue: QueueName
  readonly tags: readonly string[]
  /** Milliseconds since the epoch, by the log's clock. */
  readonly at: number
  /** The job's counters after it. */
  readonly run: number
  readonly attempt: number
  /** The worker's id, if one took part. */
  readonly worker: string | undefined
  readonly data: EventData
  readonly body: Encoded | undefined
}

/** Data of some types only; absent if it does not apply. */
export interface EventData {
  readonly host?: string | undefined
  readonly runAt?: number | undefined
  readonly durationMs?: number | undefined
  readonly reason?: string | undefined
  /** Who did it: an operator's name, as given. */
  readonly by?: string | undefined
  readonly cause?: FailureCause | CancelCause | undefined
  /** `released`: why. */
  readonly why?: ReleaseReason | undefined
  readonly progress?: number | undefined
  readonly message?: string | undefined
  /** `dispatched`: the key it waits for or holds. */
  readonly orderingKey?: string | undefined
  /** `dispatched`: the limit that it waits for, and the key; empty if the limit has none. */
  readonly limit?: string | undefined
  readonly limitKey?: string | undefined
  readonly parentId?: string | undefined
  /** `dispatched`: the flow that it is a member of. */
  readonly flow?: string | undefined
  /** `dispatched`: the jobs and flows that it needs, the first 32. `cancelled` because of a need: that one. */
  readonly needs?: readonly string[] | undefined
  /** `suspended`: the names of its waits. `resumed`: of those that were over. `received`: that of the message. */
  readonly waits?: readonly string[] | undefined
  /** `flow_dispatched`, `flow_ended`: of its members. */
  readonly counts?: FlowCounts | undefined
  /** `changed`: what was edited. */
  readonly changed?: readonly string[] | undefined
  /** `fenced`: the run that was refused. */
  readonly fencedRun?: number | undefined
}
