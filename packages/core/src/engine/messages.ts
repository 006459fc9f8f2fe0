import { isFinal } from '../job/state.ts'
import type { StoredState } from '../job/state.ts'
import { mostUnread } from '../job/memory.ts'
import type { NewMessage } from '../job/memory.ts'
import type { Ticket } from '../job/ticket.ts'
import type { Sent } from '../ports/memory.ts'
import { admitAfter } from './admit.ts'
import { withRow } from './damaged-row.ts'
import { toTicket } from './moves.ts'
import { isStorable } from './storable.ts'
import type { JobRow, JobStore } from './store.ts'
import { resumeIfOver } from './suspend.ts'

/**
 * Stores messages. A job that waits for one takes it and goes on; any other finds it when it waits.
 * @param inside the caller's transaction: it must not hold the rows of jobs for long, so it leaves notes
 */
export function send(
  store: JobStore,
  now: number,
  messages: readonly NewMessage[],
  inside: boolean,
): { sent: Sent[]; tickets: Ticket[] } {
  const isOut = (job: string): boolean =>
    store.contention !== undefined && (inside || store.contention.jobIsLocked(job))
  const sent = messages.map((message) => sendOne(store, now, message, isOut(message.job)))
  const told = new Set(messages.filter((_, index) => sent[index] === 'sent').map(({ job }) => job))
  const resumed = [...told].flatMap((job) => {
    if (!isOut(job)) return resumeByMessage(store, now, job) ?? []
    store.addWork({ kind: 'job', id: job })
    return []
  })
  const ready = resumed.filter(({ state }) => state === 'ready')
  const admitted = admitAfter(store, now, resumed, now)
  return { sent, tickets: [...ready, ...admitted].map((row) => toTicket(store, row)) }
}

/** @param isOut whether the row of the job is somebody else's: then it is only read */
function sendOne(store: JobStore, now: number, message: NewMessage, isOut: boolean): Sent {
  const { job, id, payload } = message
  const state: StoredState | undefined = isOut ? store.stateOf(job) : store.row(job)?.state
  if (state === undefined) return 'unknown'
  // A sender that repeats itself has been answered before.
  if (store.hasMessage(job, id)) return 'duplicate'
  if (isFinal(state)) return 'ended'
  if (!isStorable(payload)) return 'refused'
  if (store.countUnread(job) >= mostUnread) return 'full'
  store.addMessage(message, now)
  return 'sent'
}

function resumeByMessage(store: JobStore, now: number, job: string): JobRow | undefined {
  const row = store.row(job)
  if (row?.state !== 'suspended') return undefined
  return withRow(store, job, () => (resumeIfOver(store, now, row, now) ? row : undefined))
}
