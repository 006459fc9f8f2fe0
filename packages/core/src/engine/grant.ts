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
import { pausedOf, Places } from './places.ts'
import { byTurn, TurnLine } from './turns.ts'

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
  const held = store.heldQueues()
  const paused = new Set(pausedOf(held))
  const granted = new Set<string>()
  const perLaneGranted = new Map<Lane, number>()
  const countIn = (lane: Lane): number => perLaneGranted.get(lane) ?? 0
  const hasRoom = ({ lane }: Ticket): boolean =>
    granted.size < max && (perLane === undefined || countIn(lane) < (perLane[lane] ?? 0))
  const run = (ticket: Ticket, made: Claim): Verdict => {
    granted.add(made.id)
    perLaneGranted.set(ticket.lane, countIn(ticket.lane) + 1)
    return { ticket, verdict: 'run', claim: made }
  }
  const places = new Places(store, held)
  const isOpen = ({ queue }: JobRow): boolean => worker.queues.includes(queue) && !paused.has(queue)
  const line = new TurnLine(store, tickets, by.id, request)
  /** A ticket of a job that shares is a right to the job whose turn it is, and not to its own. */
  const runNext = (ticket: Ticket, row: JobRow, otherwise: Verdict): Verdict => {
    const before = line.repeated()
    if (before) return run(ticket, toClaim(store, now, before))
    if (line.isEmpty(row)) return otherwise
    if (places.left(row.queue) === 0) return { ticket, verdict: 'full' }
    if (granted.size + line.left(granted) >= max || !hasRoom(ticket)) return { ticket, verdict: 'again' }
    places.take(row.queue)
    return run(ticket, grant(store, now, line.next(row)!, by, request))
  }
  const rights: { readonly at: number; readonly row: JobRow }[] = []
  const seen = new Set<string>()
  const verdicts = tickets.map((ticket, at): Verdict => {
    if (ticket.log !== store.facts().logId) return { ticket, verdict: 'drop', why: 'foreign' }
    if (store.contention?.jobIsLocked(ticket.id)) return { ticket, verdict: 'again' }
    const row = store.row(ticket.id)
    if (!row) return { ticket, verdict: 'drop', why: 'unknown' }
    if (row.shareKey !== undefined) {
      if (seen.has(row.id)) return { ticket, verdict: 'drop', why: 'busy' }
      seen.add(row.id)
      if (row.state !== 'ready' && isOpen(row)) rights.push({ at, row })
    }
    if (row.state === 'running') {
      // The answer to this request was lost: give the same claim again, but not to a second copy of the ticket.
      if (row.worker === by.id && row.request === request && !granted.has(row.id))
        return run(ticket, toClaim(store, now, row))
      return { ticket, verdict: 'drop', why: 'busy' }
    }
    // A state that only a newer build knows is none from which this one starts a job.
    if (isFinal(row.state) || knownState(row.state) === 'unknown')
      return { ticket, verdict: 'drop', why: 'finished' }
    if (row.state === 'blocked' || row.state === 'suspended')
      return { ticket, verdict: 'drop', why: 'blocked' }
    if (row.state === 'scheduled') return { ticket, verdict: 'later', at: row.runAt ?? now }
    if (paused.has(row.queue)) return { ticket, verdict: 'drop', why: 'paused' }
    if (!worker.queues.includes(row.queue)) return { ticket, verdict: 'drop', why: 'elsewhere' }
    if (row.turn === undefined && places.left(row.queue) === 0) return { ticket, verdict: 'full' }
    if (row.turn !== undefined) return runNext(ticket, row, { ticket, verdict: 'again' })
    if (!hasRoom(ticket)) return { ticket, verdict: 'again' }
    places.take(row.queue)
    return run(ticket, grant(store, now, row, by, request))
  })
  // After the tickets of the jobs that are ready.
  for (const { at, row } of rights) {
    const verdict = verdicts[at]!
    if (verdict.verdict !== 'run') verdicts[at] = runNext(verdict.ticket, row, verdict)
  }
  return verdicts
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
  const held = store.heldQueues()
  const paused = new Set(pausedOf(held))
  const open = queues.filter((queue) => !paused.has(queue))
  const places = new Places(store, held)
  if (options.overdue) {
    const overdue = store.overdue(open, now, max).filter(({ queue }) => places.take(queue))
    const claims = byTurn(store, overdue).map((row) => grant(store, now, row, by, request))
    options.full?.(places.full(open))
    return claims
  }
  const fromLowest = Math.min(options.fromLowest ?? 0, max)
  const picked: JobRow[] = []
  const pick = (queue: QueueName, first: 'highest' | 'lowest', count: number): JobRow[] => {
    const before = new Set(picked.flatMap((row) => (row.queue === queue ? row.id : [])))
    const most = Math.min(count, places.left(queue))
    const rows = most > 0 ? store.ready(queue, first, before.size + most) : []
    return rows
      .filter(({ id }) => !before.has(id))
      .slice(0, most)
      .filter(() => places.take(queue))
  }
  const deal = (room: number, first: 'highest' | 'lowest'): boolean => {
    const most = picked.length + room
    for (let more = open; picked.length < most && more.length > 0;) {
      const each = Math.ceil((most - picked.length) / more.length)
      more = more.filter((queue) => {
        const left = Math.min(each, most - picked.length)
        const rows = left > 0 ? pick(queue, first, left) : []
        picked.push(...rows)
        return rows.length === each
      })
    }
    return picked.length === most
  }
  // If it finds fewer than it asks for, nothing else waits in any lane.
  if (deal(max - fromLowest, 'highest')) deal(fromLowest, 'lowest')
  const place = ({ queue }: JobRow): number => queues.indexOf(queue)
  const rank = ({ lane }: JobRow): number => laneRank[lane]
  const inOrder = picked.toSorted(
    (a, b) => place(a) - place(b) || rank(a) - rank(b) || a.sequence - b.sequence,
  )
  const claims = byTurn(store, inOrder).map((row) => grant(store, now, row, by, request))
  options.full?.(places.full(open))
  return claims
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
    expiresInMs: expiresIn(row, now),
    parkedForMs: row.parkedSince === undefined ? undefined : now - row.parkedSince,
    replays: row.replays,
    flow: row.flow,
  }
}

/** A job that was suspended may be tried again for as long as a new one. */
function expiresIn(
  { expiresAt, dispatchedAt, resumedAt = dispatchedAt }: JobRow,
  now: number,
): number | undefined {
  return expiresAt === undefined ? undefined : expiresAt - dispatchedAt + resumedAt - now
}
