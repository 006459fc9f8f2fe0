import type { Debounce } from '../job/job.ts'
import { isFinal } from '../job/state.ts'
import type { Encoded } from '../ports/codec.ts'
import type { Debounced } from '../ports/job-log.ts'
import { passGates } from './gates.ts'
import { admitOwn } from './admit.ts'
import { move, publishGraceMs, toTicket } from './moves.ts'
import type { JobStore } from './store.ts'

export function debounce(
  store: JobStore,
  now: number,
  id: string,
  payload: Encoded,
  { waitMs, atMostMs }: Debounce,
): Debounced {
  const row = store.row(id)
  if (!row || row.state === 'running' || row.state === 'suspended' || isFinal(row.state))
    return { status: 'started' }
  store.savePayload(id, payload)
  const before = row.state
  let state = before
  // A job that is ready or blocked has waited long enough. Its grace goes on, so that a stream of dispatches cannot hide a lost ticket.
  if (before === 'scheduled') {
    const runAt = Math.min(now + waitMs, row.dispatchedAt + atMostMs)
    state = passGates(store, row, { runAt, now, publishAfter: now + publishGraceMs })
  }
  move(store, now, row, 'changed', state, {
    data: {
      by: 'debounce',
      changed: before === 'scheduled' ? ['runAt', 'payload'] : ['payload'],
      ...(state === 'scheduled' ? { runAt: row.runAt } : {}),
    },
  })
  const admitted = admitOwn(store, now, row, now + publishGraceMs)
  if (admitted) return { status: 'replaced', ticket: toTicket(store, admitted) }
  const isNew = state === 'ready' && before !== 'ready'
  return { status: 'replaced', ticket: isNew ? toTicket(store, row) : undefined }
}
