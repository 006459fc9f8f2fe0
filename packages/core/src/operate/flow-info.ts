import type { FlowCounts, FlowState } from '../job/flow.ts'
import type { FlowRecord } from '../ports/flows.ts'
import { splitMeta } from '../schedule/tick-meta.ts'

/** A flow, and how many of its members have ended. */
export interface FlowInfo extends FlowCounts {
  readonly id: string
  readonly name?: string
  /** The flow that it is a member of. */
  readonly flow?: string
  readonly state: FlowState
  /** Members that have ended, and those that have not. */
  readonly ended: number
  readonly open: number
  /** So many may fail, and it still succeeds; `true`: any number. */
  readonly allowFailures: number | true
  readonly stopOnFailure: boolean
  /** Who asked for its end; `flow`: too many members have failed. */
  readonly cancelRequested?: { readonly by: string; readonly reason?: string }
  readonly dispatchedAt: Date
  readonly endedAt?: Date
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
}

export function flowInfo(record: FlowRecord): FlowInfo {
  const { id, name, flow, state, allowFailures, stopOnFailure, cancel, dispatchedAt, endedAt, tags } = record
  const { total, succeeded, failed, cancelled, forgiven } = record
  const ended = succeeded + failed + cancelled
  const { by, reason } = cancel ?? {}
  return {
    id,
    ...(name === undefined ? {} : { name }),
    ...(flow === undefined ? {} : { flow }),
    state,
    total,
    succeeded,
    failed,
    cancelled,
    forgiven,
    ended,
    open: total - ended,
    allowFailures: allowFailures ?? true,
    stopOnFailure,
    ...(by === undefined ? {} : { cancelRequested: { by, ...(reason === undefined ? {} : { reason }) } }),
    dispatchedAt: new Date(dispatchedAt),
    ...(endedAt === undefined ? {} : { endedAt: new Date(endedAt) }),
    tags,
    meta: splitMeta(record.meta).meta,
  }
}
