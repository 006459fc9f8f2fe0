import { isFinal } from '../job/state.ts'
import type { FinalState } from '../job/state.ts'
import type { Encoded } from '../ports/codec.ts'
import { findBody } from './needs.ts'
import type { JobRow, JobStore, NeedRow } from './store.ts'

/** How something that was called has ended; nothing: it has not. */
type CallEnd = Pick<NeedRow, 'isFlow'> & {
  readonly state?: FinalState | undefined
  readonly body?: Encoded | undefined
}

/** Stores that a job waits for a job or flow that it has called. What is called is told to report its end. */
export function linkCall(store: JobStore, row: JobRow, name: string, on: string): void {
  const needs = row.hasNeeds ? store.needsOf(row.id) : []
  const before = needs.find((need) => need.mode === 'called' && need.name === name)
  const index = before?.index ?? (needs.at(-1)?.index ?? -1) + 1
  const { isFlow, state, body } = findEnd(store, on, name)
  store.saveNeed({ child: row.id, index, on, isFlow, mode: 'called', name, state, body })
  row.hasNeeds = true
}

/** The calls of a suspended job that have ended, by the names of their waits. */
export function endedCalls(
  store: JobStore,
  row: JobRow,
): ReadonlyMap<string, NeedRow & { state: FinalState }> {
  return new Map(
    store
      .needsOf(row.id)
      .flatMap(({ mode, name, state, ...need }) =>
        mode === 'called' && name !== undefined && state !== undefined
          ? [[name, { ...need, mode, name, state }] as const]
          : [],
      ),
  )
}

/**
 * For a job that did not succeed and is started anew. If a call that failed is the last thing that it remembers, that is why it ended: it
 * waits for that call again, because what it called may have been started anew as well.
 */
export function askCallAgain(store: JobStore, row: JobRow): void {
  if (!row.hasNeeds) return
  for (const [name, { state }] of endedCalls(store, row)) {
    const step = state === 'succeeded' ? undefined : store.step(row.id, name)
    if (step?.order === undefined || step.order < store.stepTotals(row.id).order) continue
    const open = { order: undefined, at: undefined, by: undefined, body: undefined }
    store.saveStep({ ...step, ...open, job: row.id })
  }
}

function findEnd(store: JobStore, on: string, name: string): CallEnd {
  const flow = store.flow(on)
  if (flow) {
    if (isFinal(flow.state)) return { isFlow: true, state: flow.state }
    // Whoever has locked it may be ending it, and does not see who waits for it.
    if (store.contention?.flowIsLocked(on)) store.addWork({ kind: 'ended', id: on })
    return { isFlow: true }
  }
  // A transaction may keep the row of what was called for long: nobody waits for it here.
  const row = store.contention ? store.contention.freeRow(on) : store.row(on)
  const state = row ? row.state : store.stateOf(on)
  // One that is gone was not kept for its caller.
  if (state === undefined) return { isFlow: false, state: 'cancelled' }
  if (isFinal(state)) return { isFlow: false, state, body: findBody(store, on, name) }
  if (!row) store.addWork({ kind: 'ended', id: on })
  else if (!row.needed) store.update(Object.assign(row, { needed: true }))
  return { isFlow: false }
}
