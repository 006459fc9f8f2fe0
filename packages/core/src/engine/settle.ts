import type { Fence, WorkerRef } from '../job/claim.ts'
import type { EventData } from '../job/events.ts'
import type { Settled, SettledOutcome, Settlement } from '../job/outcome.ts'
import { isFinal } from '../job/state.ts'
import type { EventType, StoredEventType } from '../job/state.ts'
import type { Ticket } from '../job/ticket.ts'
import { ErrandError } from '../errors.ts'
import type { Encoded } from '../ports/codec.ts'
import { withRow } from './damaged-row.ts'
import { afterEnds } from './ends.ts'
import { toQueueKey } from './keys.ts'
import { admitAfter } from './admit.ts'
import { holdsRun } from './holds-run.ts'
import { move, readyFrom, toTicket } from './moves.ts'
import { isStorable, storableOutcome } from './storable.ts'
import type { JobRow, JobStore, StoredEvent } from './store.ts'
import { boundedOutcome, suspend } from './suspend.ts'

export function settle(
  store: JobStore,
  now: number,
  settlements: readonly Settlement[],
  by: WorkerRef,
): Settled[] {
  const left: JobRow[] = []
  const settled = settlements.map((settlement) =>
    withRow(store, settlement.id, () => settleOne(store, now, settlement, by, left)),
  )
  return left.length === 0 ? settled : letGo(store, now, settled, left)
}

/** Lets go the next jobs of the limits of these jobs. Each of the tickets belongs to an answer of a job of the same limit. */
function letGo(
  store: JobStore,
  now: number,
  settled: readonly Settled[],
  left: readonly JobRow[],
): Settled[] {
  const admitted = admitAfter(store, now, left, now)
  const limitOf = new Map(left.map(({ id, limit }) => [id, limit?.name]))
  const answered = new Set<string>()
  return settled.map((answer) => {
    const name = limitOf.get(answer.id)
    if (name === undefined || answered.has(name)) return answer
    answered.add(name)
    const next = admitted.filter(({ limit }) => limit?.name === name)
    // A job that was resumed at once may be among them.
    const own = next.find(({ id }) => id === answer.id)
    return {
      ...answer,
      ...(own ? { event: 'unblocked', state: own.state } : {}),
      tickets: [...answer.tickets, ...next.map((row) => toTicket(store, row))],
      pending: answer.pending || store.contention?.isLimitNoted(name) === true,
    }
  })
}

/** Succeeds a run inside the caller's transaction. Throws if the fence does not match, so that the transaction rolls back. */
export function complete(
  store: JobStore,
  now: number,
  fence: Fence,
  result: Encoded | undefined,
  by: WorkerRef,
): void {
  const row = store.row(fence.id)
  if (!row || !holdsRun(row, fence, by)) {
    throw new ErrandError(
      'E_CLAIM_LOST',
      `job ${fence.id} is no longer run ${fence.run} of this worker; roll the transaction back`,
    )
  }
  if (result && !isStorable(result)) {
    throw new ErrandError(
      'E_RESULT_INVALID',
      `the result of job ${fence.id} holds a lone surrogate, which no log can store`,
    )
  }
  end(store, now, row, by, { kind: 'succeed', result }, {})
  const left = [row, ...afterEnds(store, now, [row], now, true)]
  if (!store.contention) admitAfter(store, now, left, now)
  // The row of a limit must not be locked until the caller commits.
  else for (const { limit } of left) if (limit) store.contention.noteLimit(limit)
}

/** @param left gets the jobs whose limits may let go another one */
function settleOne(
  store: JobStore,
  now: number,
  settlement: Settlement,
  by: WorkerRef,
  left: JobRow[],
): Settled {
  const { id, run } = settlement
  const row = store.row(id)
  if (!row)
    return { id, run, result: 'claim-lost', event: 'fenced', state: 'failed', tickets: [], pending: false }
  if (!holdsRun(row, settlement, by)) return refuse(store, now, row, settlement, by)

  const outcome = boundedOutcome(store, row, storableOutcome(settlement.outcome))
  end(store, now, row, by, outcome, { durationMs: settlement.durationMs })
  const tickets = row.state === 'ready' ? [toTicket(store, row)] : []
  for (const next of isFinal(row.state) ? afterEnds(store, now, [row], now) : []) {
    if (next.state === 'ready') tickets.push(toTicket(store, next))
    if (next.limit) left.push(next)
  }
  // A job that goes back to ready keeps its place.
  if (row.limit && row.state !== 'ready') left.push(row)
  const event = findLastEvent(row, outcome)
  const key = toQueueKey(row)
  const pending = (key !== undefined && store.contention?.isNoted(key) === true) || store.hasAddedWork()
  return { id, run, result: 'settled', event, state: row.state, runAt: row.runAt, tickets, pending }
}

/** Writes the events of one outcome, and sets the row's state after them. */
function end(
  store: JobStore,
  now: number,
  row: JobRow,
  by: WorkerRef,
  outcome: SettledOutcome,
  base: EventData,
): void {
  const worker = by.id
  const cancel = row.cancelBy === undefined ? undefined : { by: row.cancelBy, reason: row.cancelReason }
  row.streak = 0
  if (!(outcome.kind === 'snooze' && outcome.parked)) row.parkedSince = undefined

  if (outcome.kind === 'succeed') {
    move(store, now, row, 'succeeded', 'succeeded', { worker, data: base, body: outcome.result })
    return
  }
  if (outcome.kind === 'error' || outcome.kind === 'completed') {
    const { retryInMs, error: body } = outcome
    const cause = outcome.kind === 'error' ? outcome.cause : 'error'
    if (cancel || retryInMs === undefined) {
      move(store, now, row, 'errored', 'running', { worker, data: { ...base, cause }, body })
      if (cancel) move(store, now, row, 'cancelled', 'cancelled', { worker, data: cancel })
      else move(store, now, row, 'failed', 'failed', { worker, data: { cause }, body })
      return
    }
    row.runAt = now + retryInMs
    move(store, now, row, 'errored', 'scheduled', {
      worker,
      data: { ...base, cause, runAt: row.runAt },
      body,
    })
    return
  }
  if (cancel) {
    move(store, now, row, 'cancelled', 'cancelled', { worker, data: { ...base, ...cancel } })
    return
  }
  switch (outcome.kind) {
    case 'fail':
      move(store, now, row, 'failed', 'failed', {
        worker,
        data: { ...base, cause: outcome.cause },
        body: outcome.error,
      })
      return
    case 'cancel':
      move(store, now, row, 'cancelled', 'cancelled', { worker, data: { ...base, reason: outcome.reason } })
      return
    case 'snooze':
      row.attempt -= 1
      if (outcome.parked) row.parkedSince ??= now
      row.runAt = now + outcome.delayMs
      move(store, now, row, 'snoozed', 'scheduled', {
        worker,
        data: { ...base, reason: outcome.reason, runAt: row.runAt },
      })
      return
    case 'release':
      // The run has begun and nobody knows what it did, so it must not start again.
      if (row.onCrash === 'fail' && outcome.begun) {
        move(store, now, row, 'failed', 'failed', {
          worker,
          data: { ...base, cause: 'lost' },
          body: outcome.error,
        })
        return
      }
      row.attempt -= 1
      // Due for publishing at once: the worker that gives it back may end before it has published.
      readyFrom(store, row, now)
      move(store, now, row, 'released', 'ready', { worker, data: { ...base, why: outcome.why } })
      return
    case 'suspend':
      suspend(store, now, row, outcome, base)
      return
    default:
      outcome satisfies never
  }
}

function findLastEvent(row: JobRow, outcome: SettledOutcome): EventType {
  if (row.state === 'succeeded' || row.state === 'failed' || row.state === 'cancelled') return row.state
  if (outcome.kind === 'suspend') return row.state === 'suspended' ? 'suspended' : 'resumed'
  if (row.state === 'ready') return 'released'
  return outcome.kind === 'snooze' ? 'snoozed' : 'errored'
}

const endings: readonly StoredEventType[] = [
  'succeeded',
  'errored',
  'snoozed',
  'released',
  'suspended',
  'failed',
  'cancelled',
]

/** The fence does not match: this same run was settled before (its answer was lost), or it has lost its claim. */
function refuse(store: JobStore, now: number, row: JobRow, settlement: Settlement, by: WorkerRef): Settled {
  const { id, run } = settlement
  const ofRun = (event: StoredEvent): boolean => event.run === run && event.worker === by.id
  const events = store.eventsOf(id)
  const ending = events.findLast((event) => ofRun(event) && endings.includes(event.type))
  if (ending) {
    const completed = settlement.outcome.kind === 'completed' && ending.type === 'succeeded'
    return {
      id,
      run,
      result: completed ? 'settled' : 'already',
      event: ending.type,
      state: ending.state,
      runAt: ending.data.runAt,
      tickets: completed ? successors(store, row) : [],
      pending: false,
    }
  }
  if (!events.some((event) => event.type === 'fenced' && event.data.fencedRun === run)) {
    move(store, now, row, 'fenced', row.state, { worker: by.id, data: { fencedRun: run } })
  }
  return { id, run, result: 'claim-lost', event: 'fenced', state: row.state, tickets: [], pending: false }
}

/** The tickets after a completion: of the job that now holds the key, if it is ready. */
function successors(store: JobStore, row: JobRow): Ticket[] {
  const key = toQueueKey(row)
  const holder = key && store.holder(key)
  const next = holder === undefined ? undefined : store.row(holder)
  return next?.state === 'ready' && next.id !== row.id ? [toTicket(store, next)] : []
}
