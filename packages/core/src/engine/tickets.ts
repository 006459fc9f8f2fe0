import type { Ticket } from '../job/ticket.ts'
import { admitAfter } from './admit.ts'
import { toTicket } from './moves.ts'
import type { JobRow, JobStore } from './store.ts'

/**
 * The tickets after a change: of those of the jobs that are ready, and of jobs that their limits, or those of `left`, let go now.
 */
export function findTickets(
  store: JobStore,
  now: number,
  moved: readonly JobRow[],
  left: readonly JobRow[] = [],
): Ticket[] {
  const ready = moved.filter(({ state }) => state === 'ready')
  const admitted = admitAfter(store, now, [...moved, ...left], now)
  return [...ready, ...admitted].map((row) => toTicket(store, row))
}
