import type { EventData } from '../job/events.ts'
import { isFinal } from '../job/state.ts'
import type { EventType, JobState } from '../job/state.ts'
import type { Ticket } from '../job/ticket.ts'
import type { Encoded } from '../ports/codec.ts'
import { withRow } from './damaged-row.ts'
import type { JobRow, JobStore } from './store.ts'
import { giveTurn } from './turns.ts'

/** How long a ticket has to fetch its job before the job counts as overdue. */
export const publishGraceMs = 30_000
export const longestPublishGraceMs = 3_600_000

export interface Noted {
  readonly data?: EventData | undefined
  readonly body?: Encoded | undefined
  readonly worker?: string | undefined
}

/** One transition: writes the row's state and its event together. The caller has set the counters. */
export function move(
  store: JobStore,
  now: number,
  row: JobRow,
  type: EventType,
  to: JobState,
  noted: Noted = {},
): void {
  enter(now, row, to)
  store.update(row)
  note(store, now, row, type, noted)
}

/** The state that a row is in after its next event; it is not stored yet. */
export function enter(now: number, row: Omit<JobRow, 'sequence'>, to: JobState): void {
  row.state = to
  row.version += 1
  if (to !== 'running') {
    row.worker = undefined
    row.request = undefined
    row.deadline = undefined
  }
  if (to !== 'scheduled' && to !== 'suspended') row.runAt = undefined
  if (to !== 'ready') row.publishAfter = undefined
  if (to !== 'ready' && to !== 'running') row.turn = undefined
  if (to !== 'blocked') row.atLimit = false
  row.finishedAt = isFinal(to) ? (row.finishedAt ?? now) : undefined
}

/** The event for the state that a row has entered. */
export function note(store: JobStore, now: number, row: JobRow, type: EventType, noted: Noted): void {
  store.addEvent({
    jobId: row.id,
    version: row.version,
    type,
    state: row.state,
    name: row.name,
    queue: row.queue,
    tags: row.tags,
    at: now,
    run: row.run,
    attempt: row.attempt,
    worker: noted.worker,
    data: noted.data ?? {},
    body: noted.body,
  })
}

/** For a job that becomes ready: sets when it is overdue, and gives it its turn. Its count of publishes starts over. */
export function readyFrom(store: JobStore, row: Omit<JobRow, 'sequence'>, publishAfter: number): void {
  row.publishAfter = publishAfter
  row.publishes = 0
  giveTurn(store, row)
}

export function toTicket(store: JobStore, row: JobRow): Ticket {
  return { id: row.id, queue: row.queue, lane: row.lane, log: store.facts().logId }
}

/** A blocked job that has what it needs and holds its key is ready, or has come to its limit. */
export function unblock(store: JobStore, now: number, row: JobRow, publishAfter: number): void {
  withRow(store, row.id, () => {
    if (row.limit) {
      row.atLimit = true
      store.update(row)
      return
    }
    readyFrom(store, row, publishAfter)
    move(store, now, row, 'unblocked', 'ready')
  })
}
