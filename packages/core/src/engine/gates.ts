import { takeKey } from './keys.ts'
import { readyFrom } from './moves.ts'
import { waitsForNeeds } from './needs.ts'
import type { JobRow, JobStore } from './store.ts'

interface Waiting {
  /** Milliseconds since the epoch; in the past for a job that waits for no time. */
  readonly runAt: number
  readonly now: number
  /** When a job that becomes ready counts as overdue. */
  readonly publishAfter: number
}

/**
 * Lets a live job pass the gates before it, always in this order: its time (else it is `scheduled`), then what it needs, then its
 * ordering key, then its limit (else it is `blocked`). Its key is taken at once if nobody holds it, also while the job waits for its time. At its limit every
 * job waits: the caller calls `admit` at its end. Sets what belongs to the state, and returns it.
 */
export function passGates(
  store: JobStore,
  row: Omit<JobRow, 'sequence'>,
  { runAt, now, publishAfter }: Waiting,
): 'scheduled' | 'blocked' | 'ready' {
  const isHolder = takeKey(store, row)
  if (runAt > now) {
    row.runAt = runAt
    return 'scheduled'
  }
  if (!isHolder || waitsForNeeds(store, row)) {
    row.atLimit = false
    return 'blocked'
  }
  return passLimit(store, row, publishAfter)
}

/** The last gate. A job that was suspended has only this one before it: it holds its ordering key all the time. */
export function passLimit(
  store: JobStore,
  row: Omit<JobRow, 'sequence'>,
  publishAfter: number,
): 'blocked' | 'ready' {
  row.atLimit = row.limit !== undefined
  if (row.atLimit) return 'blocked'
  readyFrom(store, row, publishAfter)
  return 'ready'
}
