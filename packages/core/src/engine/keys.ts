import type { QueueKey } from '../job/claim.ts'
import { withRow } from './damaged-row.ts'
import { move, readyFrom } from './moves.ts'
import type { JobRow, JobStore } from './store.ts'

type Keyed = Pick<JobRow, 'id' | 'queue' | 'orderingKey'>

export function keyOf(row: Keyed): QueueKey | undefined {
  return row.orderingKey === undefined ? undefined : { queue: row.queue, key: row.orderingKey }
}

/** Takes the job's ordering key if no job holds it. True if the job is now its holder, or has no key. */
export function takeKey(store: JobStore, row: Keyed): boolean {
  const key = keyOf(row)
  if (!key) return true
  const holder = store.holder(key)
  if (holder !== undefined) return holder === row.id
  store.setHolder(key, row.id)
  return true
}

/**
 * The key goes from a job that has ended to the next *live* one by sequence, not to the next blocked one: a scheduled
 * job keeps its place, becomes holder and stays scheduled. Returns the job that became ready.
 */
export function passKey(store: JobStore, now: number, row: JobRow, publishAfter: number): JobRow | undefined {
  const key = keyOf(row)
  if (!key || store.holder(key) !== row.id) return undefined
  const next = store.firstOfKey(key)
  store.setHolder(key, next?.id)
  if (next?.state !== 'blocked') return undefined
  withRow(store, next.id, () => {
    readyFrom(next, publishAfter)
    move(store, now, next, 'unblocked', 'ready')
  })
  return next
}

/** Frees a unique key. If it must be held for a minimum time, it stays held until that time is over. */
export function freeUnique(store: JobStore, now: number, row: JobRow, keepFor: boolean): void {
  if (row.uniqueKey === undefined || store.unique(row.name, row.uniqueKey)?.jobId !== row.id) return
  const freeAt = keepFor && row.uniqueForMs !== undefined ? row.dispatchedAt + row.uniqueForMs : now
  store.setUnique(row.name, row.uniqueKey, freeAt > now ? { jobId: row.id, freeAt } : undefined)
}

/** The job that holds the unique key now, if it is not `id`. */
export function uniqueHolder(
  store: JobStore,
  now: number,
  name: string,
  key: string,
  id: string,
): string | undefined {
  const held = store.unique(name, key)
  if (!held || held.jobId === id) return undefined
  return held.freeAt === undefined || held.freeAt > now ? held.jobId : undefined
}

/** Frees and passes on the keys of a job that has ended. `failed` under `block` stays holder. Returns the job that became ready. */
export function afterEnd(
  store: JobStore,
  now: number,
  row: JobRow,
  publishAfter: number,
): JobRow | undefined {
  freeUnique(store, now, row, row.state === 'succeeded')
  return row.state === 'failed' && row.onFailure === 'block'
    ? undefined
    : passKey(store, now, row, publishAfter)
}
