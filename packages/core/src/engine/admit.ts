import type { QueueName } from '../job/ticket.ts'
import type { LimitPlace, LimitValues, Rate } from '../ports/limits.ts'
import { withRow } from './damaged-row.ts'
import { move, readyFrom } from './moves.ts'
import { listPaused } from './places.ts'
import { countTokens, nextTokens, takeTokens } from './rate.ts'
import type { JobRow, JobStore, LimitKeyRow, LimitRow } from './store.ts'

/** At most this many jobs are let go at a time. The next sweep goes on. */
const mostAdmitted = 1_000
const mostKeys = 100
/** When to look again where so many were let go that have not started yet, or whose queue is paused. */
const lookAgainMs = 1_000

/** A place of a limit, or a limit as a whole. */
interface Place {
  readonly name: string
  readonly key?: string | undefined
}

/** What a limit, or a key, has left. It is counted once, before its jobs go. */
interface Room {
  /** Ms since the epoch. Undefined: it is open. */
  readonly closedUntil: number | undefined
  /** Jobs that are ready or running. Undefined: they were not counted. */
  readonly held: number | undefined
  readonly places: number
  readonly tokens: number
  /** How many may be let go before those that were have started. */
  readonly starts: number
}

/**
 * Lets go jobs that wait for their limits. Its callers name the places that have changed: where a job has come to wait, or has left.
 * Only here a job with a limit becomes ready. Returns these jobs.
 */
export function admit(
  store: JobStore,
  now: number,
  places: readonly (Place | undefined)[],
  publishAfter: number,
): JobRow[] {
  const admitted: JobRow[] = []
  for (const [name, keys] of groupByName(places)) {
    if (store.contention?.limitIsLocked(name)) {
      for (const key of keys) store.contention.noteLimit({ name, key })
      continue
    }
    const limit = store.limit(name) ?? newLimit(name)
    for (const key of keys) {
      const row = store.limitKey(name, key) ?? newKey(limit, key)
      if (!row.waits) store.saveLimitKey({ ...row, waits: true, admitAt: undefined })
    }
    if (limit.values) admitted.push(...admitOf(store, now, limit, limit.values, publishAfter))
    else keepUndeclared(store, limit, keys)
  }
  return admitted
}

/** The limits of jobs that have moved. */
export function admitAfter(
  store: JobStore,
  now: number,
  moved: readonly JobRow[],
  publishAfter: number,
): JobRow[] {
  return admit(
    store,
    now,
    moved.map(({ limit }) => limit),
    publishAfter,
  )
}

/**
 * For a caller that answers only for one job. The job as it is now, if its limit lets it go. The tickets of others are due for
 * publishing at once.
 */
export function admitOwn(
  store: JobStore,
  now: number,
  { id, limit }: JobRow,
  publishAfter: number,
): JobRow | undefined {
  const own = admit(store, now, [limit], now).find((row) => row.id === id)
  if (own) {
    own.publishAfter = publishAfter
    store.update(own)
  }
  return own
}

/** Those whose time has come, and those that were noted. */
export function admitDue(store: JobStore, now: number, most: number, publishAfter: number): JobRow[] {
  return admit(store, now, [...takeLimitNotes(store, most), ...store.dueLimits(now, most)], publishAfter)
}

export function takeLimitNotes(store: JobStore, most: number): LimitPlace[] {
  return store.contention?.takeLimitNotes(most) ?? []
}

/** The keys of each limit. A place without a key is the limit as a whole. */
function groupByName(places: readonly (Place | undefined)[]): ReadonlyMap<string, ReadonlySet<string>> {
  const keys = new Map<string, Set<string>>()
  for (const place of places) {
    if (!place) continue
    const ofName = keys.get(place.name) ?? new Set()
    keys.set(place.name, ofName)
    if (place.key !== undefined) ofName.add(place.key)
  }
  return keys
}

export function newLimit(name: string): LimitRow {
  return {
    name,
    revision: 0,
    values: undefined,
    body: '{}',
    turn: 0,
    tat: undefined,
    admitAt: undefined,
    closed: undefined,
  }
}

/** A key that has not waited before comes after all others but the one that was let go last. */
export function newKey({ name, turn }: LimitRow, key: string): LimitKeyRow {
  return { name, key, turn: turn - 1, waits: false, tat: undefined, admitAt: undefined, closed: undefined }
}

/** Its jobs wait until a worker declares it. The row shows that they do. */
function keepUndeclared(store: JobStore, limit: LimitRow, keys: ReadonlySet<string>): void {
  const { name } = limit
  for (const key of keys)
    if (store.atLimit({ name, key }, [], 1).length === 0) store.removeLimitKey({ name, key })
  if (store.limitKeys(name, 1).length === 0) store.removeLimit(name)
  else store.saveLimit(limit)
}

function admitOf(
  store: JobStore,
  now: number,
  before: LimitRow,
  { rate }: LimitValues,
  publishAfter: number,
): JobRow[] {
  const { name } = before
  const limit: LimitRow = { ...before, admitAt: undefined }
  const admitted: JobRow[] = []
  const paused = listPaused(store)
  const room = findRoom(store, now, limit)
  let free = Math.min(countRoom(room, 0), mostAdmitted)
  while (free > 0) {
    const keys = store.waitingKeys(name, mostKeys)
    if (keys.length === 0) break
    // Nobody is let go twice while another key waits for its first.
    const each = Math.max(1, Math.floor(free / keys.length))
    for (const key of keys) {
      const rows = admitOfKey(store, now, limit, key, Math.min(each, free), paused, publishAfter)
      free -= rows.length
      admitted.push(...rows)
      if (free === 0) break
    }
  }
  if (rate && admitted.length > 0) limit.tat = takeTokens(rate, limit.tat, now, admitted.length)
  if (free === 0 && store.waitingKeys(name, 1).length > 0)
    limit.admitAt = findRoomAgain(room, admitted.length, now, rate, limit.tat)
  store.saveLimit(limit)
  return admitted
}

/** It either lets go a job of this key, or takes the key off the line: full keys must not keep others from their turn. */
function admitOfKey(
  store: JobStore,
  now: number,
  limit: LimitRow,
  before: LimitKeyRow,
  most: number,
  paused: readonly QueueName[],
  publishAfter: number,
): JobRow[] {
  const { perKey, keyRate } = limit.values ?? {}
  const key = { ...before }
  const room = findRoom(store, now, { ...key, values: { total: perKey, rate: keyRate } })
  const wanted = Math.min(most, countRoom(room, 0))
  const rows = wanted === 0 ? [] : store.atLimit(key, paused, wanted)
  for (const row of rows) {
    withRow(store, row.id, () => {
      readyFrom(store, row, publishAfter)
      move(store, now, row, 'unblocked', 'ready')
    })
  }
  if (rows.length > 0) {
    limit.turn += 2
    key.turn = limit.turn
    if (keyRate) key.tat = takeTokens(keyRate, key.tat, now, rows.length)
  }
  const isThrough = rows.length < wanted
  key.waits = !isThrough && countRoom(room, rows.length) > 0
  if (key.waits) key.admitAt = undefined
  else if (isThrough) key.admitAt = paused.length > 0 ? now + lookAgainMs : undefined
  else key.admitAt = findRoomAgain(room, rows.length, now, keyRate, key.tat)
  saveKey(store, now, key, room.held === undefined ? undefined : room.held + rows.length)
  return rows
}

/** A key that has no job, and whose tokens are all there, is forgotten. */
function saveKey(store: JobStore, now: number, key: LimitKeyRow, held: number | undefined): void {
  const keptUntil = Math.max(key.tat ?? 0, key.closed?.until ?? 0)
  const isIdle = !key.waits && key.admitAt === undefined
  if (isIdle && keptUntil > now) store.saveLimitKey({ ...key, admitAt: keptUntil })
  else if (isIdle && (held ?? countHeld(store, key)) === 0) store.removeLimitKey(key)
  else store.saveLimitKey(key)
}

function countHeld(store: JobStore, { name, key }: LimitPlace): number {
  const { ready, running } = store.heldOf(name, key)
  return ready + running
}

/** Counts the room of a limit, or of a key with its own values. */
function findRoom(
  store: JobStore,
  now: number,
  {
    name,
    key,
    values,
    tat,
    closed,
  }: Pick<LimitRow, 'name' | 'values' | 'tat' | 'closed'> & { readonly key?: string },
): Room {
  const closedUntil = closed && closed.until > now ? closed.until : undefined
  const { total, rate } = values ?? {}
  if (closedUntil !== undefined || (total === undefined && !rate))
    return { closedUntil, held: undefined, places: Infinity, tokens: Infinity, starts: Infinity }
  const { ready, running } = store.heldOf(name, key)
  const places = (total ?? Infinity) - ready - running
  const tokens = rate ? countTokens(rate, tat, now) : Infinity
  // Those that were let go and have not started: an outage must not pile them up.
  const starts = rate ? rate.burst - ready : Infinity
  return { closedUntil, held: ready + running, places, tokens, starts }
}

/** How many more jobs may go when so many have gone. */
function countRoom({ closedUntil, places, tokens, starts }: Room, gone: number): number {
  return closedUntil === undefined ? Math.max(0, Math.min(places, tokens, starts) - gone) : 0
}

/** When there may be room again; undefined: as soon as one of its jobs has ended. @param tat after so many have gone */
function findRoomAgain(
  room: Room,
  gone: number,
  now: number,
  rate: Rate | undefined,
  tat: number | undefined,
): number | undefined {
  const { closedUntil, places, tokens } = room
  if (closedUntil !== undefined) return closedUntil
  if (countRoom(room, gone) > 0) return now
  if (places <= gone) return undefined
  return rate && tokens <= gone ? nextTokens(rate, tat ?? now) : now + lookAgainMs
}
