import type { Ticket } from '../job/ticket.ts'
import { mostAtLimitCounted } from '../ports/limits.ts'
import type {
  Closing,
  LimitChange,
  LimitCounts,
  LimitKeyRecord,
  LimitKeysWanted,
  LimitRecord,
  LimitsSaved,
  LimitTarget,
} from '../ports/limits.ts'
import type { Note } from '../ports/operations.ts'
import { admit, newKey, newLimit } from './admit.ts'
import { toTicket } from './moves.ts'
import { nextRevision } from './revision.ts'
import type { JobStore, LimitKeyRow } from './store.ts'

export function readLimits(
  store: JobStore,
  now: number,
  names: readonly string[] | undefined,
): { now: number; limits: LimitRecord[] } {
  const rows = names ? [...new Set(names)].flatMap((name) => store.limit(name) ?? []) : store.limits()
  return {
    now,
    limits: rows
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, revision, values, body, closed }) => ({
        name,
        revision,
        values,
        body,
        ...countJobs(store, now, name, undefined, closed),
      })),
  }
}

export function readLimitKeys(
  store: JobStore,
  now: number,
  name: string,
  { key, closed = false, limit }: LimitKeysWanted,
): LimitKeyRecord[] {
  // Of a limit with many keys few are closed.
  const read = closed ? Number.MAX_SAFE_INTEGER : limit
  const rows = key === undefined ? store.limitKeys(name, read) : [store.limitKey(name, key) ?? []].flat()
  return rows
    .filter((row) => !closed || isClosed(row, now))
    .slice(0, limit)
    .map((row) => ({ key: row.key, ...countJobs(store, now, name, row.key, row.closed) }))
}

function isClosed(row: Pick<LimitKeyRow, 'closed'>, now: number): boolean {
  return row.closed !== undefined && row.closed.until > now
}

function countJobs(
  store: JobStore,
  now: number,
  name: string,
  key: string | undefined,
  closed: Closing | undefined,
): LimitCounts {
  return {
    ...store.heldOf(name, key),
    waiting: store.countAtLimit(name, key, mostAtLimitCounted),
    closed: closed && closed.until > now ? closed : undefined,
  }
}

export function saveLimits(store: JobStore, now: number, changes: readonly LimitChange[]): LimitsSaved {
  const saved = changes.map(({ name, after, to }) => {
    const before = store.limit(name)
    if ((before?.revision ?? 0) !== after) return false
    if (!to && !before) return true
    // Its jobs wait until it is declared again.
    const revision = to ? nextRevision(after) : 0
    store.saveLimit({ ...(before ?? newLimit(name)), values: to?.values, body: to?.body ?? '{}', revision })
    return true
  })
  const names = changes.filter((_, index) => saved[index]).map(({ name }) => name)
  return { saved, tickets: reopen(store, now, names) }
}

/** What was full may have room now. Rows that nobody needs any more go. */
function reopen(store: JobStore, now: number, names: readonly string[]): Ticket[] {
  const places = names.flatMap((name) => [
    { name },
    ...store.limitKeys(name, Number.MAX_SAFE_INTEGER).map(({ key }) => ({ name, key })),
  ])
  return admit(store, now, places, now).map((row) => toTicket(store, row))
}

export function closeLimit(
  store: JobStore,
  now: number,
  target: LimitTarget,
  forMs: number,
  note: Note,
): { found: boolean; tickets: Ticket[] } {
  const place = 'job' in target ? store.row(target.job)?.limit : target
  if (!place) return { found: false, tickets: [] }
  const { name } = place
  // A limit without keys has one, which is empty: whoever closes it closes the limit.
  const key = place.key === '' ? undefined : place.key
  const limit = store.limit(name) ?? newLimit(name)
  const close = (before: Closing | undefined): Closing | undefined => {
    if (forMs === 0) return undefined
    const until = now + forMs
    return before && before.until > until ? before : { ...note, until }
  }
  if (key === undefined) store.saveLimit({ ...limit, closed: close(limit.closed) })
  else {
    const row = store.limitKey(name, key) ?? newKey(limit, key)
    store.saveLimitKey({ ...row, closed: close(row.closed) })
  }
  return { found: true, tickets: admit(store, now, [{ name, key }], now).map((row) => toTicket(store, row)) }
}
