import type { NewFlow } from '../job/flow.ts'
import type { NewJob } from '../job/job.ts'
import type { Appended } from '../ports/job-log.ts'
import type { Ticket } from '../job/ticket.ts'
import { advance } from './advance.ts'
import { appendFlows, findObstacles, isWhole } from './append-whole.ts'
import { afterEnds } from './ends.ts'
import { passGates } from './gates.ts'
import { uniqueHolder } from './keys.ts'
import { admit } from './admit.ts'
import { enter, note, toTicket } from './moves.ts'
import { linkNeeds } from './needs.ts'
import { isStorable, refuseWhole, unstorablePayload } from './storable.ts'
import type { JobRow, JobStore } from './store.ts'

/** How many needs the first event of a job names. */
const mostNeedsTold = 32

interface How {
  readonly atomic: boolean
  /** In the caller's transaction: it must not hold rows that others need for long, so it leaves notes. */
  readonly inside: boolean
  readonly flows?: readonly NewFlow[] | undefined
}

export function append(
  store: JobStore,
  now: number,
  jobs: readonly NewJob[],
  { atomic, inside, flows = [] }: How,
): Appended[] {
  const whole = isWhole(jobs, flows)
  if (atomic || whole) refuseWhole(jobs)
  if (!whole) {
    const appended = jobs.map((job) => appendOne(store, now, job))
    return admitNew(store, now, jobs, appended, inside)
  }
  const obstacles = findObstacles(store, now, jobs, flows)
  if (obstacles) return obstacles
  appendFlows(store, now, jobs, flows)
  const needed = new Set(jobs.flatMap(({ needs = [] }) => needs.map(({ on }) => on)))
  const call: Call = { needed, stored: new Set(), inside }
  const appended = jobs.map((job) => appendOne(store, now, job, call))
  return admitNew(store, now, jobs, appended, inside)
}

/** What jobs know of the others of their call. */
interface Call {
  /** Ids that jobs of the call need. */
  readonly needed: ReadonlySet<string>
  /** Ids of jobs that the call has stored. */
  readonly stored: Set<string>
  readonly inside: boolean
}
const alone: Call = { needed: new Set(), stored: new Set(), inside: false }

/** Lets go the new jobs that may pass their limits. */
function admitNew(
  store: JobStore,
  now: number,
  jobs: readonly NewJob[],
  appended: Appended[],
  inside: boolean,
): Appended[] {
  const atLimit = jobs.filter((job, index) => job.limit && appended[index]?.status === 'added')
  if (atLimit.length === 0) return appended
  if (inside && store.contention) {
    for (const { limit } of atLimit) if (limit) store.contention.noteLimit(limit)
    return appended
  }
  const graces = new Map(atLimit.map(({ id, publishGraceMs }) => [id, publishGraceMs]))
  const tickets = new Map<string, Ticket>()
  // The tickets of other jobs are not this caller's: they are due for publishing at once.
  for (const row of admit(
    store,
    now,
    atLimit.map(({ limit }) => limit),
    now,
  )) {
    const graceMs = graces.get(row.id)
    if (graceMs === undefined) continue
    row.publishAfter = now + graceMs
    store.update(row)
    tickets.set(row.id, toTicket(store, row))
  }
  return appended.map((answer) => {
    const ticket = answer.status === 'added' ? tickets.get(answer.id) : undefined
    return ticket ? { id: answer.id, status: 'added', state: 'ready', ticket } : answer
  })
}

function appendOne(store: JobStore, now: number, job: NewJob, call: Call = alone): Appended {
  if (store.row(job.id)) return { id: job.id, status: 'duplicate' }
  if (job.unique) {
    const holder = uniqueHolder(store, now, job.name, job.unique.key, job.id)
    if (holder !== undefined) return { id: holder, status: 'duplicate' }
  }
  if (!isStorable(job.payload)) return { id: job.id, status: 'refused', why: unstorablePayload }
  if (job.unique) store.setUnique(job.name, job.unique.key, { jobId: job.id, freeAt: undefined })

  const row = newRow(job, now)
  row.needed = call.needed.has(job.id)
  if (job.needs) linkNeeds(store, job, call.stored, call.inside)
  const runAt = dueAt(job, now)
  // The grace of the dispatch counts only for a job that is ready at once.
  const state = passGates(store, row, { runAt, now, publishAfter: now + job.publishGraceMs })
  enter(now, row, state)
  const stored = store.insert(row, job)
  if (call !== alone) call.stored.add(job.id)
  note(store, now, stored, 'dispatched', {
    data: {
      ...(row.orderingKey === undefined ? {} : { orderingKey: row.orderingKey }),
      ...(row.limit === undefined ? {} : { limit: row.limit.name, limitKey: row.limit.key }),
      ...(state === 'scheduled' ? { runAt } : {}),
      ...(job.parentId === undefined ? {} : { parentId: job.parentId }),
      ...(job.flow === undefined ? {} : { flow: job.flow }),
      ...(row.hasNeeds ? { needs: job.needs?.slice(0, mostNeedsTold).map(({ on }) => on) } : {}),
    },
  })
  if (row.hasNeeds && advance(store, now, stored, now) === 'cancelled') {
    afterEnds(store, now, [stored], now, call.inside)
    return { id: row.id, status: 'added', state: stored.state, ticket: undefined }
  }
  return {
    id: row.id,
    status: 'added',
    state,
    ticket: state === 'ready' ? toTicket(store, stored) : undefined,
  }
}

function dueAt(job: NewJob, now: number): number {
  if (!job.due) return now
  return 'at' in job.due ? job.due.at : now + job.due.delayMs
}

function newRow(job: NewJob, now: number): Omit<JobRow, 'sequence'> {
  return {
    id: job.id,
    name: job.name,
    orderingKey: job.ordering?.key,
    onFailure: job.ordering?.onFailure ?? 'block',
    uniqueKey: job.unique?.key,
    uniqueUntil: job.unique?.until ?? 'finished',
    uniqueForMs: job.unique?.forMs,
    shareKey: job.shareKey,
    tags: job.tags,
    maxAttempts: job.maxAttempts,
    maxCrashes: job.maxCrashes,
    onCrash: job.onCrash,
    timeoutMs: job.timeoutMs,
    dispatchedAt: now,
    expiresAt: job.expiresMs === undefined ? undefined : now + job.expiresMs,
    limit: job.limit,
    flow: job.flow,
    mayFail: job.mayFail === true,
    hasNeeds: job.needs !== undefined && job.needs.length > 0,
    needed: false,
    atLimit: false,
    queue: job.queue,
    lane: job.lane,
    state: 'ready',
    run: 0,
    attempt: 0,
    crashes: 0,
    streak: 0,
    version: 0,
    worker: undefined,
    request: undefined,
    deadline: undefined,
    runAt: undefined,
    publishAfter: undefined,
    publishes: 0,
    turn: undefined,
    cancelBy: undefined,
    cancelReason: undefined,
    parkedSince: undefined,
    replays: 0,
    resumedAt: undefined,
    finishedAt: undefined,
    progress: undefined,
    progressMessage: undefined,
  }
}
