import { ErrandError } from '../errors.ts'
import type { Cursor, EventRecord } from '../job/events.ts'
import { knownState } from '../job/state.ts'
import type { JobFilter, JobRecord, Places, ReadOptions } from '../ports/history.ts'
import { waitsForNeeds } from './needs.ts'
import type { JobRow, JobStore, StoredEvent } from './store.ts'

export function get(store: JobStore, id: string): JobRecord | undefined {
  const row = store.row(id)
  return row && toRecord(store, row)
}

export function list(
  store: JobStore,
  filter: JobFilter,
  page: { readonly limit: number; readonly after?: string | undefined },
): JobRecord[] {
  return store.list(filter, page.limit, page.after).map((row) => toRecord(store, row))
}

export function readHistory(store: JobStore, id: string): EventRecord[] {
  const { epoch } = store.facts()
  return store.eventsOf(id).map((event) => eventRecord(event, epoch))
}

export function read(store: JobStore, options: ReadOptions): { events: EventRecord[]; next: Cursor } {
  const { epoch } = store.facts()
  const [oldest, newest] = store.span()
  const after = options.after === undefined ? oldest - 1 : parsePosition(options.after, epoch)
  if (after < oldest - 1) {
    throw new ErrandError(
      'E_CURSOR',
      `events before position ${oldest} are no longer kept; this cursor is at ${after}: start over`,
    )
  }
  if (after > newest) {
    throw new ErrandError(
      'E_CURSOR',
      `this cursor (position ${after}) is ahead of the log, whose newest event is ${newest}; it belongs to another log`,
    )
  }
  const filter = {
    ...(options.job === undefined ? {} : { job: options.job }),
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    ...(options.tag === undefined ? {} : { tag: options.tag }),
  }
  const events = store.events(after, options.limit, filter)
  // A full page continues after its last event. A shorter one has seen everything up to the newest event.
  const next = events.length === options.limit ? (events.at(-1)?.position ?? newest) : newest
  return { events: events.map((event) => eventRecord(event, epoch)), next: toCursor(next, epoch) }
}

export function end(store: JobStore): Cursor {
  return toCursor(store.span()[1], store.facts().epoch)
}

/** A cursor is nothing but a position. */
export const places: Places = {
  earliest(cursors) {
    const [first = '', ...others] = cursors
    return others.reduce((earliest, other) => (isAfter(other, earliest) ? other : earliest), first)
  },
  isAfter,
  advance: (after, to) => (isAfter(after, to) ? to : after),
}

function isAfter(after: Cursor, event: Cursor): boolean {
  const [one, other] = [parse(after), parse(event)]
  if (one.epoch !== other.epoch) throw new ErrandError('E_CURSOR', 'these cursors are of two epochs')
  return other.position > one.position
}

function toCursor(position: number, epoch: number): Cursor {
  return `${epoch}.${position}`
}

function parse(cursor: Cursor): { readonly epoch: number; readonly position: number } {
  const match = /^(\d{1,10})\.(\d{1,15})$/.exec(cursor)
  if (!match) throw new ErrandError('E_CURSOR', `${JSON.stringify(cursor)} is not a cursor of this log`)
  return { epoch: Number(match[1]), position: Number(match[2]) }
}

function parsePosition(cursor: Cursor, epoch: number): number {
  const at = parse(cursor)
  if (at.epoch !== epoch) {
    throw new ErrandError(
      'E_CURSOR',
      `the cursor is of epoch ${at.epoch}, the log is in epoch ${epoch} since it was restored: start over`,
    )
  }
  return at.position
}

function eventRecord({ position, ...event }: StoredEvent, epoch: number): EventRecord {
  return { ...event, cursor: toCursor(position, epoch) }
}

function isWaiting({ state }: JobRow): boolean {
  return state === 'blocked' || state === 'scheduled'
}

function toRecord(store: JobStore, row: JobRow): JobRecord {
  const events = store.eventsOf(row.id)
  const result =
    row.state === 'succeeded' ? events.findLast((event) => event.type === 'succeeded')?.body : undefined
  const error =
    row.state === 'succeeded'
      ? undefined
      : events.findLast(
          (event) => event.type === 'errored' || event.type === 'failed' || event.type === 'lost',
        )?.body
  return {
    ...store.stored(row),
    state: knownState(row.state),
    run: row.run,
    attempt: row.attempt,
    crashes: row.crashes,
    maxAttempts: row.maxAttempts,
    worker: row.worker,
    runAt: row.runAt,
    finishedAt: row.finishedAt,
    cancelRequested: row.cancelBy !== undefined,
    uniqueKey: row.uniqueKey,
    shareKey: row.shareKey,
    limit: row.limit && { ...row.limit, waits: row.atLimit },
    flow: row.flow,
    waitsForNeeds: isWaiting(row) && waitsForNeeds(store, row),
    progress: row.progress === undefined ? undefined : { value: row.progress, message: row.progressMessage },
    result,
    error,
  }
}
