import { ErrandError } from '../errors.ts'
import { isFinal } from '../job/state.ts'
import type { Ticket } from '../job/ticket.ts'
import type {
  CancelReport,
  JobChange,
  Note,
  QueueRecord,
  ReplayReport,
  WorkerRecord,
} from '../ports/operations.ts'
import type { JobState } from '../job/state.ts'
import type { ServedQueue } from '../ports/job-log.ts'
import type { NewTransfer, Transfer } from '../ports/transfer.ts'
import { withRow } from './damaged-row.ts'
import { passGates } from './gates.ts'
import { cancelRows } from './cancel.ts'
import type { Cancelled } from './cancel.ts'
import { passKey } from './keys.ts'
import { admitOwn } from './admit.ts'
import { replayRows, uncount } from './replay.ts'
import { findTickets } from './tickets.ts'
import { move, publishGraceMs, readyFrom, toTicket } from './moves.ts'
import type { JobRow, JobStore } from './store.ts'

export function cancel(store: JobStore, now: number, ids: readonly string[], note: Note): CancelReport {
  const data = { by: note.by, reason: note.reason }
  return toCancelReport(store, now, cancelRows(store, now, findRows(store, ids), data, now))
}

export function toCancelReport(
  store: JobStore,
  now: number,
  { ended, requested, workers, moved }: Cancelled,
): CancelReport {
  const tickets = findTickets(store, now, moved, ended)
  return { cancelled: ended.length, requested, workers: [...workers], tickets }
}

export function replay(
  store: JobStore,
  now: number,
  ids: readonly string[],
  note: Note,
  { forget = false }: { readonly forget?: boolean | undefined } = {},
): ReplayReport {
  const rows = findRows(store, ids).filter(({ state }) => isFinal(state))
  for (const row of rows) if (row.flow !== undefined) uncount(store, now, row)
  return replayRows(store, now, rows, note, { forget })
}

export function skip(
  store: JobStore,
  now: number,
  ids: readonly string[],
  note: Note,
): { skipped: number; tickets: Ticket[] } {
  const moved: JobRow[] = []
  let skipped = 0
  for (const row of findRows(store, ids)) {
    if (row.state !== 'failed' || row.orderingKey === undefined) continue
    if (store.holder({ queue: row.queue, key: row.orderingKey }) !== row.id) continue
    withRow(store, row.id, () => {
      // It was kept until somebody looked at it. Its retention begins now, or the next prune could delete it at once.
      row.finishedAt = undefined
      move(store, now, row, 'skipped', 'failed', { data: { by: note.by, reason: note.reason } })
    })
    const next = passKey(store, now, row, now)
    if (next) moved.push(next)
    skipped += 1
  }
  return { skipped, tickets: findTickets(store, now, moved) }
}

export function change(
  store: JobStore,
  now: number,
  id: string,
  to: JobChange,
  note: Note,
): { state: JobState; ticket: Ticket | undefined } {
  const row = store.row(id)
  if (!row) throw new ErrandError('E_NOT_FOUND', `there is no job ${id} in this log`)
  if (row.state === 'running' || isFinal(row.state)) {
    throw new ErrandError('E_NOT_ALLOWED', `job ${id} is ${row.state}; only a job that waits can be changed`)
  }
  if (row.state === 'suspended' && (to.queue ?? to.runAt ?? to.payload) !== undefined) {
    throw new ErrandError(
      'E_NOT_ALLOWED',
      `job ${id} is suspended: it has begun, so only its lane can be changed`,
    )
  }
  if (to.queue !== undefined && to.queue !== row.queue && row.orderingKey !== undefined) {
    throw new ErrandError(
      'E_NOT_ALLOWED',
      `job ${id} has an ordering key, which belongs to its queue; cancel it and dispatch it again`,
    )
  }
  // The turn was in the line of the old queue and lane.
  if ((to.lane ?? row.lane) !== row.lane || (to.queue ?? row.queue) !== row.queue) row.turn = undefined
  if (to.lane !== undefined) row.lane = to.lane
  if (to.queue !== undefined) row.queue = to.queue
  if (to.payload !== undefined) store.savePayload(id, to.payload)
  const publishAfter = now + publishGraceMs
  let state = row.state
  // A job that is ready has passed its gates.
  const isOnlyDue = state === 'ready' && to.runAt !== undefined && to.runAt <= now
  if (to.runAt !== undefined && !isOnlyDue)
    state = passGates(store, row, { runAt: to.runAt, now, publishAfter })
  else if (state === 'ready') readyFrom(store, row, publishAfter)
  const changed = (['lane', 'queue', 'runAt', 'payload'] as const).filter((what) => to[what] !== undefined)
  move(store, now, row, 'changed', state, {
    data: {
      by: note.by,
      reason: note.reason,
      changed,
      ...(state === 'scheduled' ? { runAt: row.runAt } : {}),
    },
  })
  if (state === 'suspended') return { state, ticket: undefined }
  const admitted = admitOwn(store, now, row, publishAfter)
  if (admitted) return { state: admitted.state, ticket: toTicket(store, admitted) }
  return { state, ticket: state === 'ready' ? toTicket(store, row) : undefined }
}

export function queues(store: JobStore): QueueRecord[] {
  const counts = store.counts()
  const held = new Map(store.heldQueues().map((queue) => [queue.name, queue]))
  const served = store.workers().flatMap((worker) => worker.queues)
  const names = new Set([...counts.keys(), ...held.keys(), ...served])
  const none = { ready: 0, scheduled: 0, blocked: 0, suspended: 0, running: 0 }
  return [...names].toSorted().map((name) => ({
    name,
    paused: held.get(name)?.pausedBy !== undefined,
    pausedBy: held.get(name)?.pausedBy,
    limit: held.get(name)?.limit,
    ...none,
    estimated: [],
    ...counts.get(name),
  }))
}

export function workers(store: JobStore, now: number): WorkerRecord[] {
  return store.workers().map((worker) => ({
    id: worker.id,
    host: worker.host,
    pid: worker.pid,
    label: worker.label,
    queues: worker.queues,
    taking: worker.taking,
    why: worker.why,
    startedAt: worker.startedAt,
    lastSeen: worker.lastSeen,
    alive: worker.leaseUntil >= now,
    running: store.claimsOf(worker.id).length,
    stopping: worker.stop,
    drivers: worker.drivers,
  }))
}

export function served(store: JobStore, now: number): ServedQueue[] {
  const alive = store.workers().filter((worker) => worker.leaseUntil >= now)
  const queues = [...new Set(alive.flatMap((worker) => worker.queues))]
  return queues.map((queue) => {
    const serving = alive.filter((worker) => worker.queues.includes(queue))
    const slots = serving.map((worker) => worker.slots?.[queue])
    const known = slots.filter((each) => each !== undefined)
    const all = known.length === slots.length
    return { queue, workers: serving.length, slots: all ? Math.min(...known) : undefined }
  })
}

export function stopWorkers(store: JobStore, id: string | undefined): number {
  const asked = store.workers().filter((worker) => id === undefined || worker.id === id)
  for (const worker of asked) store.saveWorker({ ...worker, stop: true })
  return asked.length
}

export function setTransfer(
  store: JobStore,
  now: number,
  next: NewTransfer,
  after: number,
): Transfer | undefined {
  const facts = store.facts()
  if ((facts.transfer?.revision ?? 0) !== after) return undefined
  const transfer = { ...next, revision: after + 1, at: now }
  store.saveFacts({ ...facts, transfer })
  return transfer
}

function findRows(store: JobStore, ids: readonly string[]): JobRow[] {
  return [...new Set(ids)].flatMap((id) => store.row(id) ?? [])
}
