import { withRow } from './damaged-row.ts'
import { isKeyLocked, takeKey } from './keys.ts'
import { move, unblock } from './moves.ts'
import { findViolated, isOpen } from './needs.ts'
import type { JobRow, JobStore } from './store.ts'

/** What became of a job that was looked at. `gated`: it is ready, or has come to its limit. */
export type Advanced = 'waits' | 'gated' | 'cancelled'

/**
 * Looks at a job again whose needs may be met. Without one that is open it comes to its next gate; with one that can never be met it is
 * cancelled. Whoever changes something that a job may wait for calls it; calling it too often does no harm.
 */
export function advance(store: JobStore, now: number, row: JobRow, publishAfter: number): Advanced {
  if (row.state !== 'blocked' && row.state !== 'scheduled') return 'waits'
  const needs = store.needsOf(row.id)
  const violated = findViolated(needs)
  if (violated) {
    const data = { cause: 'need', needs: [violated.on] } as const
    withRow(store, row.id, () => move(store, now, row, 'cancelled', 'cancelled', { data }))
    return 'cancelled'
  }
  if (row.state === 'scheduled' || row.atLimit || needs.some(isOpen)) return 'waits'
  if (isKeyLocked(store, row)) {
    store.addWork({ kind: 'job', id: row.id })
    return 'waits'
  }
  if (!takeKey(store, row)) return 'waits'
  unblock(store, now, row, publishAfter)
  return 'gated'
}
