import type { Encoded } from '../ports/codec.ts'
import type { Expedited, ExpediteOptions, LostForGood, SweepOptions, SweepReport } from '../ports/job-log.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import { withRow } from './damaged-row.ts'
import { listPaused } from './places.ts'
import { afterEnds } from './ends.ts'
import { isKeyLocked } from './keys.ts'
import { doWork } from './work.ts'
import { passGates } from './gates.ts'
import { admitAfter, admitDue } from './admit.ts'
import { longestPublishGraceMs, move, publishGraceMs, readyFrom, toTicket } from './moves.ts'
import { findDueSchedules } from './schedules.ts'
import type { JobRow, JobStore } from './store.ts'
import { resumeIfOver } from './suspend.ts'

const defaultLeaseMs = 30_000
const dayMs = 86_400_000
const lostBackoffMs = 1_000
const longestLostBackoffMs = 60_000

export function sweep(store: JobStore, now: number, options: SweepOptions): SweepReport {
  const mayBeLost = noteSweep(store, now)
  const paused = listPaused(store)
  const tickets: Ticket[] = []
  const list = (row: JobRow): void => {
    if (!paused.includes(row.queue)) tickets.push(toTicket(store, row))
  }

  const due = store
    .due(now, options.limit)
    .filter((row) => row.state === 'suspended' || !isKeyLocked(store, row))
  for (const row of due) {
    withRow(store, row.id, () => passTime(store, now, row))
    if (row.state === 'ready') list(row)
  }
  const moved = [...due]

  const lost = mayBeLost ? store.lost(now, options.limit) : []
  const failed: LostForGood[] = []
  for (const row of lost) {
    withRow(store, row.id, () => {
      const error = loseRun(store, now, row)
      if (row.state === 'failed')
        failed.push({ job: store.stored(row), error, cause: 'lost', run: row.run, attempt: row.attempt })
    })
    if (row.state === 'ready') list(row)
    else moved.push(row)
    if (row.finishedAt === undefined) continue
    for (const next of afterEnds(store, now, [row], now + publishGraceMs)) {
      moved.push(next)
      if (next.state === 'ready') list(next)
    }
  }

  const work = doWork(store, now, options.limit, now + publishGraceMs)
  for (const row of work.moved) {
    moved.push(row)
    if (row.state === 'ready') list(row)
  }
  admitAfter(store, now, moved, now + publishGraceMs).forEach(list)
  admitDue(store, now, options.limit, now + publishGraceMs).forEach(list)

  const unpublished = options.republish
    ? store.unpublished(
        [...paused, ...options.skipQueues, ...servedByOthers(store, now, options.queues)],
        now,
        options.limit,
      )
    : []
  for (const row of unpublished) {
    withRow(store, row.id, () => {
      row.publishAfter = now + Math.min(publishGraceMs * 2 ** row.publishes, longestPublishGraceMs)
      store.update(row)
    })
  }
  const republished = unpublished.map((row) => toTicket(store, row))

  for (const worker of store.workers()) {
    if (worker.leaseUntil < now - dayMs && store.claimsOf(worker.id).length === 0)
      store.removeWorker(worker.id)
  }

  const ticks = findDueSchedules(store, now, options.schedules, options.limit)
  const nextTimes = [store.nextDue(), store.nextLimit(), ticks.nextAt].filter((at) => at !== undefined)
  return {
    ran: true,
    tickets: [...tickets, ...republished],
    republished,
    failed,
    lost: lost.length - failed.length,
    full: work.full || [due, lost, unpublished].some((rows) => rows.length === options.limit),
    schedules: ticks.due,
    nextDueInMs: nextTimes.length === 0 ? undefined : Math.max(0, Math.min(...nextTimes) - now),
  }
}

/** A live worker republishes its queues itself, or takes their jobs from the log. No other relay may move these jobs. */
function servedByOthers(store: JobStore, now: number, own: readonly QueueName[]): QueueName[] {
  const alive = store.workers().filter(({ leaseUntil }) => leaseUntil >= now)
  return alive.flatMap(({ queues }) => queues).filter((queue) => !own.includes(queue))
}

/** The broker has accepted these tickets: the grace of their jobs doubles. */
export function published(store: JobStore, tickets: readonly Ticket[]): void {
  for (const row of tickets.flatMap((ticket) => store.row(ticket.id) ?? [])) {
    if (row.state !== 'ready') continue
    withRow(store, row.id, () => {
      // More doublings than the cap would change nothing and overflow.
      if (2 ** row.publishes * publishGraceMs < longestPublishGraceMs) row.publishes += 1
      store.update(row)
    })
  }
}

export function expedite(
  store: JobStore,
  now: number,
  queues: readonly QueueName[],
  { limit, leftMs = 0 }: ExpediteOptions,
): Expedited {
  const rows = store.published(queues, now + leftMs, limit)
  for (const row of rows) {
    readyFrom(store, row, now)
    store.update(row)
  }
  return { jobs: rows.length, more: rows.length === limit }
}

/**
 * Records that a sweep ran, and returns whether runs may be called lost. During a gap (log down, failover, clock jump,
 * laptop asleep) no worker could renew its lease, so the first sweep after it would call the whole fleet lost.
 */
function noteSweep(store: JobStore, now: number): boolean {
  const facts = store.facts()
  const leases = store
    .workers()
    .filter((worker) => worker.leaseUntil >= now)
    .map((worker) => worker.leaseMs)
  const allLeases = store.workers().map((worker) => worker.leaseMs)
  const shortest = leases.length > 0 ? Math.min(...leases) : defaultLeaseMs
  const longest = allLeases.length > 0 ? Math.max(...allLeases) : defaultLeaseMs
  if (facts.lastSweepAt === undefined || now - facts.lastSweepAt > shortest / 3 || now < facts.lastSweepAt) {
    facts.holdUntil = now + longest
  }
  facts.lastSweepAt = now
  store.saveFacts(facts)
  return facts.holdUntil === undefined || facts.holdUntil <= now
}

/** The time of a job has come. */
function passTime(store: JobStore, now: number, row: JobRow): void {
  const publishAfter = now + publishGraceMs
  if (row.state === 'scheduled')
    move(store, now, row, 'due', passGates(store, row, { runAt: now, now, publishAfter }))
  else if (!resumeIfOver(store, now, row, publishAfter)) {
    // Its waits say otherwise, and every sweep would find it again.
    row.runAt = undefined
    store.update(row)
  }
}

function loseRun(store: JobStore, now: number, row: JobRow): Encoded {
  const { worker } = row
  const late = row.deadline !== undefined && row.deadline < now
  const error = lostError(late ? 'the run passed its deadline' : 'the lease of its worker ran out')
  row.attempt -= 1
  row.crashes += 1
  row.streak += 1
  row.parkedSince = undefined
  const lost = { worker, body: error }
  if (row.cancelBy !== undefined) {
    move(store, now, row, 'lost', 'running', lost)
    move(store, now, row, 'cancelled', 'cancelled', { data: { by: row.cancelBy, reason: row.cancelReason } })
  } else if (row.onCrash === 'fail' || row.crashes >= row.maxCrashes) {
    move(store, now, row, 'lost', 'running', lost)
    move(store, now, row, 'failed', 'failed', { data: { cause: 'lost' }, body: error })
  } else if (row.streak === 1) {
    readyFrom(store, row, now + publishGraceMs)
    move(store, now, row, 'lost', 'ready', lost)
  } else {
    row.runAt = now + Math.min(lostBackoffMs * 2 ** (row.streak - 2), longestLostBackoffMs)
    move(store, now, row, 'lost', 'scheduled', { ...lost, data: { runAt: row.runAt } })
  }
  return error
}

/** The log writes this error itself, so it is plain JSON for every codec of the workers. */
function lostError(message: string): Encoded {
  return { codec: 'json', text: JSON.stringify({ name: 'LostError', message, code: 'E_LOST' }) }
}
