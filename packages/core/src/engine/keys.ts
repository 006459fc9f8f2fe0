import type { QueueKey } from '../job/claim.ts'
import { isFinal } from '../job/state.ts'
import { unblock } from './moves.ts'
import { waitsForNeeds } from './needs.ts'
import type { JobRow, JobStore } from './store.ts'

type Keyed = Pick<JobRow, 'id' | 'queue' | 'orderingKey'>

export function toQueueKey(row: Keyed): QueueKey | undefined {
  return row.orderingKey === undefined ? undefined : { queue: row.queue, key: row.orderingKey }
}

/** Takes the job's ordering key if no job holds it. True if the job is now its holder, or has no key. */
export function takeKey(store: JobStore, row: Keyed): boolean {
  const key = toQueueKey(row)
  if (!key) return true
  const holder = store.holder(key)
  if (holder !== undefined) return holder === row.id
  store.setHolder(key, row.id)
  return true
}

/** Whether another transaction has locked the row of the job's key. */
export function isKeyLocked(store: JobStore, row: Keyed): boolean {
  const key = toQueueKey(row)
  return key !== undefined && store.contention?.keyIsLocked(key) === true
}

/** Passes on the key of a job that has ended. If its row is locked, notes it. Returns the job that became ready, or has come to its limit. */
export function passKey(store: JobStore, now: number, row: JobRow, publishAfter: number): JobRow | undefined {
  const key = toQueueKey(row)
  if (!key) return undefined
  if (isKeyLocked(store, row)) {
    store.contention?.noteKey(key)
    return undefined
  }
  return store.holder(key) === row.id ? giveKey(store, now, key, publishAfter) : undefined
}

/** Passes on the noted keys whose holders have ended. Returns the jobs that became ready, or have come to their limits. */
export function passNotedKeys(store: JobStore, now: number, limit: number, publishAfter: number): JobRow[] {
  return (store.contention?.takeNotes(limit) ?? []).flatMap((key) => {
    if (store.contention?.keyIsLocked(key)) {
      store.contention.noteKey(key)
      return []
    }
    const holder = store.holder(key)
    if (holder === undefined) return []
    const row = store.row(holder)
    const goesOn = row !== undefined && (!isFinal(row.state) || keepsKey(row))
    return goesOn ? [] : (giveKey(store, now, key, publishAfter) ?? [])
  })
}

/**
 * The key goes to the next *live* job by sequence, not to the next blocked one: a scheduled job keeps its place, becomes
 * holder and stays scheduled. Returns the job that became ready, or has come to its limit.
 */
function giveKey(store: JobStore, now: number, key: QueueKey, publishAfter: number): JobRow | undefined {
  const next = store.firstOfKey(key)
  store.setHolder(key, next?.id)
  if (next?.state !== 'blocked' || waitsForNeeds(store, next)) return undefined
  unblock(store, now, next, publishAfter)
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

/** `failed` under `block` stays holder. */
export function keepsKey(row: JobRow): boolean {
  return row.state === 'failed' && row.onFailure === 'block'
}
