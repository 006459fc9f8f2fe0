import type { Claim, RequestId, Verdict, WorkerRef } from '../job/claim.ts'
import { laneRank } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import { isFinal, knownState } from '../job/state.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import { ErrandError } from '../errors.ts'
import type { ClaimOptions, TakeOptions } from '../ports/job-log.ts'
import { withRow } from './damaged-row.ts'
import { freeUnique } from './keys.ts'
import { move } from './moves.ts'
import type { JobRow, JobStore, WorkerRow } from './store.ts'

export function claim(
  store: JobStore,
  now: number,
  tickets: readonly Ticket[],
  max: number,
  by: WorkerRef,
  request: RequestId,
  { perLane }: ClaimOptions = {},
): Verdict[] {
  const worker = leaseholder(store, now, by)
  const paused = new Set(store.paused().map((queue) => queue.name))
  const granted = new Set<string>()
  const perLaneGranted = new Map<Lane, number>()
  const countIn = (lane: Lane): number => perLaneGranted.get(lane) ?? 0
  const run = (ticket: Ticket, made: Claim): Verdict => {
    granted.add(made.id)
    perLaneGranted.set(ticket.lane, countIn(ticket.lane) + 1)
    return { ticket, verdict: 'run', claim: made }
  }
  return tickets.map((ticket): Verdict => {
    if (ticket.log !== store.facts().logId) return { ticket, verdict: 'drop', why: 'foreign' }
    if (store.contention?.jobIsLocked(ticket.id)) return { ticket, verdict: 'again' }
    const row = store.row(ticket.id)
    if (!row) return { ticket, verdict: 'drop', why: 'unknown' }
    if (row.state === 'running') {
      // The answer to this request was lost: give the same claim again, but not to a second copy of the ticket.
      if (row.worker === by.id && row.request === request && !granted.has(row.id))
        return run(ticket, toClaim(store, now, row))
      return { ticket, verdict: 'drop', why: 'busy' }
    }
    // A state that only a newer build knows is none from which this one starts a job.
    if (isFinal(row.state) || knownState(row.state) === 'unknown')
      return { ticket, verdict: 'drop', why: 'finished' }
    if (row.state === 'blocked') return { ticket, verdict: 'drop', why: 'blocked' }
    if (row.state === 'scheduled') return { ticket, verdict: 'later', at: row.runAt ?? now }
    if (paused.has(row.queue)) return { ticket, verdict: 'drop', why: 'paused' }
    if (!worker.queues.includes(row.queue)) return { ticket, verdict: 'drop', why: 'elsewhere' }
    const laneIsFull = perLane !== undefined && countIn(ticket.lane) >= (perLane[ticket.lane] ?? 0)
    if (granted.size >= max || laneIsFull) return { ticket, verdict: 'again' }
    return run(ticket, grant(store, now, row, by, request))
  })
}

export function take(
  store: JobStore,
  now: number,
  queues: readonly QueueName[],
  max: number,
  by: WorkerRef,
  request: RequestId,
  options: TakeOptions = {},
): Claim[] {
  leaseholder(store, now, by)
  const repeated = store.claimsOf(by.id).filter((row) => row.request === request)
  if (repeated.length > 0) return repeated.map((row) => toClaim(store, now, row))
  const paused = new Set(store.paused().map((queue) => queue.name))
  const open = queues.filter((queue) => !paused.has(queue))
  if (options.overdue) {
    return store.overdue(open, now, max).map((row) => grant(store, now, row, by, request))
  }
  const fromLowest = Math.min(options.fromLowest ?? 0, max)
  const granted: { readonly row: JobRow; readonly claim: Claim }[] = []
  const share = (room: number, first: 'highest' | 'lowest'): boolean => {
    const most = granted.length + room
    for (let more = open; granted.length < most && more.length > 0;) {
      const each = Math.ceil((most - granted.length) / more.length)
      more = more.filter((queue) => {
        const left = Math.min(each, most - granted.length)
        const rows = left > 0 ? store.ready(queue, first, left) : []
        for (const row of rows) granted.push({ row, claim: grant(store, now, row, by, request) })
        return rows.length === each
      })
    }
    return granted.length === most
  }
  // If it finds fewer than it asks for, nothing else waits in any lane.
  if (share(max - fromLowest, 'highest')) share(fromLowest, 'lowest')
  const place = ({ queue }: JobRow): number => queues.indexOf(queue)
  const rank = ({ lane }: JobRow): number => laneRank[lane]
  return granted
    .toSorted(({ row: a }, { row: b }) => place(a) - place(b) || rank(a) - rank(b) || a.sequence - b.sequence)
    .map(({ claim }) => claim)
}

export function leaseholder(store: JobStore, now: number, by: WorkerRef): WorkerRow {
  const worker = store.worker(by.id)
  if (!worker || worker.leaseUntil < now) {
    throw new ErrandError(
      'E_LEASE_OUT',
      `the lease of worker ${by.id} is out; nothing is granted before its next heartbeat`,
    )
  }
  return worker
}

function grant(store: JobStore, now: number, row: JobRow, by: WorkerRef, request: RequestId): Claim {
  return withRow(store, row.id, () => {
    row.run += 1
    row.attempt += 1
    row.worker = by.id
    row.request = request
    row.deadline = row.timeoutMs === null ? undefined : now + row.timeoutMs + by.graceMs
    move(store, now, row, 'started', 'running', { worker: by.id, data: { host: by.host } })
    if (row.uniqueUntil === 'started') freeUnique(store, now, row, true)
    return toClaim(store, now, row)
  })
}

function toClaim(store: JobStore, now: number, row: JobRow): Claim {
  return {
    id: row.id,
    run: row.run,
    job: store.stored(row),
    attempt: row.attempt,
    crashes: row.crashes,
    maxAttempts: row.maxAttempts,
    maxCrashes: row.maxCrashes,
    onCrash: row.onCrash,
    timeoutMs: row.timeoutMs,
    expiresInMs: row.expiresAt === undefined ? undefined : row.expiresAt - now,
    parkedForMs: row.parkedSince === undefined ? undefined : now - row.parkedSince,
    replays: row.replays,
  }
}
