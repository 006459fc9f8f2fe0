import type { NewJob } from '../job/job.ts'
import type { NeedMode } from '../job/need.ts'
import { isFinal } from '../job/state.ts'
import type { FinalState } from '../job/state.ts'
import type { Encoded } from '../ports/codec.ts'
import type { JobRow, JobStore, NeedRow } from './store.ts'

/** Whether what is needed has ended as it must. */
function isMet(mode: NeedMode, state: FinalState): boolean {
  if (mode === 'succeeded') return state === 'succeeded'
  if (mode === 'unsuccessful') return state !== 'succeeded'
  return true
}

/** A need that can never be met. */
export function findViolated(needs: readonly NeedRow[]): NeedRow | undefined {
  return needs.find(({ mode, state }) => state !== undefined && !isMet(mode, state))
}

/** Whether the job may not start, because something that it needs has not ended as it must. */
export function waitsForNeeds(store: JobStore, row: Pick<JobRow, 'id' | 'hasNeeds'>): boolean {
  if (!row.hasNeeds) return false
  const needs = store.needsOf(row.id)
  return needs.some(isOpen) || findViolated(needs) !== undefined
}

export function isOpen({ mode, state }: NeedRow): boolean {
  return state === undefined && mode !== 'called'
}

/**
 * Stores what a new job needs. What has ended is met at once. A job of another call that has not ended is marked as needed, or its
 * row belongs to somebody else: then it is looked at later.
 * @param own ids of jobs of the same call, which are marked as needed already
 */
export function linkNeeds(
  store: JobStore,
  { id, needs = [] }: NewJob,
  own: ReadonlySet<string>,
  inside: boolean,
): void {
  for (const [index, { on, mode, name }] of needs.entries()) {
    const flow = store.flow(on)
    const row = flow ? undefined : store.row(on)
    const need = { child: id, index, on, isFlow: flow !== undefined, mode, name }
    const state = flow?.state ?? row?.state
    const ended = state !== undefined && isFinal(state) ? state : undefined
    store.saveNeed({ ...need, state: ended, body: ended && row && findBody(store, row.id, name) })
    if (row && !ended && !own.has(on)) markNeeded(store, row, inside)
  }
}

/** Inside the caller's transaction no row of another job may be locked. */
function markNeeded(store: JobStore, row: JobRow, inside: boolean): void {
  if (row.needed) return
  if (store.contention && (inside || store.contention.jobIsLocked(row.id)))
    return store.addWork({ kind: 'ended', id: row.id })
  row.needed = true
  store.update(row)
}

/** What a job has returned, or its error, for one that asks for it by a name. */
export function findBody(store: JobStore, id: string, name: string | undefined): Encoded | undefined {
  return name === undefined ? undefined : store.eventsOf(id).findLast(({ state }) => isFinal(state))?.body
}
