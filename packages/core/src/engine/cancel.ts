import { isFinal } from '../job/state.ts'
import type { EventData } from '../job/events.ts'
import type { Note } from '../ports/operations.ts'
import { withRow } from './damaged-row.ts'
import { afterEnds } from './ends.ts'
import { noteFlow } from './flows.ts'
import { move } from './moves.ts'
import type { JobRow, JobStore } from './store.ts'

/** At most so many members of a flow are cancelled at once. Notes do the rest. */
const mostCancelled = 500

export interface Cancelled {
  /** Cancelled at once. */
  readonly ended: readonly JobRow[]
  readonly requested: number
  /** Workers that run one of them. */
  readonly workers: ReadonlySet<string>
  /** Jobs that became ready, or have come to their limits. */
  readonly moved: JobRow[]
}

/** Cancels what waits, and asks what runs to end. */
export function cancelRows(
  store: JobStore,
  now: number,
  rows: readonly JobRow[],
  data: EventData & { readonly by: string },
  publishAfter: number,
): Cancelled {
  const workers = new Set<string>()
  const ended: JobRow[] = []
  let requested = 0
  for (const row of rows) {
    if (isFinal(row.state)) continue
    if (row.state === 'running') {
      if (row.worker !== undefined) workers.add(row.worker)
      if (row.cancelBy !== undefined) continue
      row.cancelBy = data.by
      row.cancelReason = data.reason
      withRow(store, row.id, () => move(store, now, row, 'cancel_requested', 'running', { data }))
      requested += 1
    } else {
      withRow(store, row.id, () => move(store, now, row, 'cancelled', 'cancelled', { data }))
      ended.push(row)
    }
  }
  // Keys pass on last: the next job of a key may be one of those that were cancelled.
  return { ended, requested, workers, moved: afterEnds(store, now, ended, publishAfter) }
}

/** Marks a flow that runs. Nothing can be added to it from then on. */
export function requestEnd(store: JobStore, now: number, id: string, note: Note): boolean {
  const flow = store.flow(id)
  if (!flow || flow.state !== 'running' || flow.cancel) return false
  flow.cancel = note
  noteFlow(store, now, flow, 'flow_cancel_requested', { by: note.by, reason: note.reason })
  return true
}

/** Cancels members of a flow that is marked, from this place on. More of them are left as work. */
export function cancelMembers(
  store: JobStore,
  now: number,
  id: string,
  after: number,
  publishAfter: number,
): Cancelled & { readonly more: boolean } {
  const flow = store.flow(id)
  const members = flow?.state === 'running' && flow.cancel ? store.members(id, after, mostCancelled) : []
  const last = members.at(-1)
  const more = members.length === mostCancelled
  if (last && more) store.addWork({ kind: 'flow', id, after: last.index })
  for (const member of members)
    if (member.isFlow && flow?.cancel && requestEnd(store, now, member.id, flow.cancel))
      store.addWork({ kind: 'flow', id: member.id, after: 0 })
  const jobs = members.flatMap((member) => {
    if (member.isFlow) return []
    if (!store.contention?.jobIsLocked(member.id)) return store.row(member.id) ?? []
    store.addWork({ kind: 'flow', id, after: member.index - 1 })
    return []
  })
  const { by = 'flow', reason } = flow?.cancel ?? {}
  return { ...cancelRows(store, now, jobs, { by, reason, cause: 'flow' }, publishAfter), more }
}

/** Cancels what a cancelled job has called. A job that somebody else has dispatched, and that was only joined, goes on. */
export function cancelCalled(
  store: JobStore,
  now: number,
  id: string,
  caller: string,
  publishAfter: number,
): JobRow[] {
  const { contention } = store
  const data = { by: 'caller', cause: 'caller' } as const
  if (store.flow(id)) {
    if (contention?.flowIsLocked(id)) store.addWork({ kind: 'caller', id, caller })
    else if (requestEnd(store, now, id, { by: data.by })) store.addWork({ kind: 'flow', id, after: 0 })
    return []
  }
  if (contention?.jobIsLocked(id)) {
    store.addWork({ kind: 'caller', id, caller })
    return []
  }
  const row = store.row(id)
  if (!row || isFinal(row.state) || store.stored(row).parentId !== caller) return []
  return cancelRows(store, now, [row], data, publishAfter).moved
}
