import type { FlowCounts, FlowState } from '../job/flow.ts'
import type { NeedMode } from '../job/need.ts'
import type { FinalState, StoredState } from '../job/state.ts'
import type { Ticket } from '../job/ticket.ts'
import type { Encoded } from './codec.ts'
import type { CancelReport, Note } from './operations.ts'

export interface FlowRecord extends FlowCounts {
  readonly id: string
  readonly name: string | undefined
  /** The flow that it is a member of. */
  readonly flow: string | undefined
  readonly state: FlowState
  readonly allowFailures: number | null
  readonly stopOnFailure: boolean
  /** Somebody has asked for its end, or too many members have failed: then `by` is `flow`. */
  readonly cancel: Note | undefined
  /** Ms since the epoch. */
  readonly dispatchedAt: number
  readonly endedAt: number | undefined
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
}

export interface FlowMember {
  /** Its place in the flow, from 1 on: it only grows, and may leave numbers out. */
  readonly index: number
  readonly id: string
  readonly isFlow: boolean
  /** The name of the job, or of the flow. */
  readonly name: string | undefined
  readonly state: StoredState
}

/** How a member has ended. */
export interface MemberEnd {
  readonly index: number
  readonly id: string
  readonly state: FinalState
  /** Its result or its error. */
  readonly body: Encoded | undefined
}

/** Something that a job needs. */
export interface NeedRecord {
  readonly on: string
  readonly isFlow: boolean
  readonly mode: NeedMode
  readonly name: string | undefined
  /** How it has ended. Undefined: it has not. */
  readonly state: FinalState | undefined
  /** If it has a name and is a job: its result or error, bound to that job. */
  readonly body: Encoded | undefined
}

export interface FlowFilter {
  readonly state?: FlowState | undefined
  readonly name?: string | undefined
}

/** Jobs that were dispatched as one whole, and what jobs need. */
export interface Flows {
  readFlow(id: string): Promise<FlowRecord | undefined>
  /** Newest first, after the flow with this id. */
  listFlows(
    filter: FlowFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<readonly FlowRecord[]>
  /** In the order of their indexes, after this one. */
  flowMembers(
    flow: string,
    page: { readonly limit: number; readonly after?: number | undefined },
  ): Promise<readonly FlowMember[]>
  /** Of the members that are jobs and have ended, in the order of their indexes. `next`: undefined at the end. */
  memberEnds(
    flow: string,
    page: { readonly limit: number; readonly after?: number | undefined },
  ): Promise<{ readonly ends: readonly MemberEnd[]; readonly next: number | undefined }>
  /** What a job needs, in the order of its dispatch. */
  needs(job: string): Promise<readonly NeedRecord[]>
  /** Jobs that need this job or flow and have not ended, at most `limit`. */
  neededBy(id: string, limit: number): Promise<readonly string[]>
  /**
   * Cancels what waits, at most 500 members at once, and asks what runs to end. Notes do the rest. `unknown`, `ended`: nothing was done.
   */
  cancelFlow(
    id: string,
    note: Note,
  ): Promise<CancelReport & { readonly status: 'cancelling' | 'ended' | 'unknown'; readonly more: boolean }>
  /**
   * Starts the failed members of a flow that has ended anew, and those that were cancelled. What needs the flow waits for it again, if
   * it has not started. `callbacks-run`: a job that needs the flow has started and not ended, so nothing was done.
   */
  replayFlow(
    id: string,
    note: Note,
  ): Promise<{
    readonly status: 'replayed' | 'running' | 'unknown' | 'callbacks-run'
    readonly replayed: number
    readonly tickets: readonly Ticket[]
  }>
}
