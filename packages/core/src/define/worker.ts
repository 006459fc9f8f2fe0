import { workerDefaults } from '../config/defaults.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import type { QueueName } from '../job/ticket.ts'
import { checkQueueName } from '../names.ts'
import { checkFunction, checkInteger, checkOptions, describe } from '../options.ts'
import { checkMiddleware, resolvedHandler } from './handler.ts'
import type { JobHandler, Maybe, Middleware, ResolvedHandler } from './handler.ts'
import type { Ended, Hooks } from './hooks.ts'
import { resolvedJob } from './job.ts'
import type { ResolvedLimit } from './limit.ts'
import { resolvedSchedule } from './schedule.ts'
import type { ResolvedSchedule, ScheduleDefinition } from './schedule.ts'

/** What a worker process does: its handlers, how many run at a time, and what runs around them. */
export interface WorkerDefinition extends Hooks {
  readonly handlers: readonly JobHandler[]
  /** What it dispatches again and again. Any number of workers may have the same ones: each tick is dispatched once. */
  readonly schedules?: readonly ScheduleDefinition[] | undefined
  /**
   * How many jobs run at a time in this process, over all its queues (default 10), or per queue: `{ media: 2, '*': 10 }`.
   * All queues without a number share `'*'`.
   */
  readonly concurrency?: number | Readonly<Record<string, number>> | undefined
  /** Around every handler, the first one outermost. */
  readonly middleware?: readonly Middleware[] | undefined
  /** How long this process's claims are valid without a heartbeat. Default 30 s. */
  readonly lease?: Duration | undefined
  /** How often the lease is renewed. Default a sixth of the lease, at most 5 s; at most a third of the lease. */
  readonly heartbeat?: Duration | undefined
  /** How long running jobs may go on after the worker was asked to stop, and after a run's timeout. Default 25 s. */
  readonly grace?: Duration | undefined
  /** Called when the worker has stopped: close what the factory opened. */
  readonly stop?: (() => Maybe<void>) | undefined
}

/** A definition, or a function that makes one. The function may start a DI container or a pool. */
export type WorkerSource = WorkerDefinition | (() => Maybe<WorkerDefinition>)

/** Options of `errand.work()`. */
export interface WorkOptions {
  /** Serve only these queues. Default: every queue of the handlers' jobs. */
  readonly queues?: readonly string[] | undefined
  /**
   * Begin this many jobs, let them end however long they take, and stop. The worker is never granted more than are left.
   * Retries count, and so does a job that no handler knows. Default: no limit.
   */
  readonly maxJobs?: number | undefined
  /** Stop on SIGTERM and SIGINT. Default true. */
  readonly signals?: boolean | undefined
  /** A name for people, in `workers.list()` and in logs. */
  readonly label?: string | undefined
}

/** What a worker reports about itself. */
export interface WorkerHealth {
  /** Whether it asks for jobs at present. */
  readonly taking: boolean
  /** Why it does not. */
  readonly why?: string
  /** Why the broker took no tickets of this process the last time. Workers take the jobs from the log. */
  readonly broker?: string
  /** Jobs that have a slot, or have ended and are not recorded yet. */
  readonly running: number
  /** Brief jobs that were granted ahead of a slot. They begin next, or go back. */
  readonly prefetched: number
  /** Runs that have ended since it started, by what was recorded. */
  readonly ended: Readonly<Record<Ended['outcome'], number>>
}

/** The health of a worker that has just begun. */
export const noneEnded: WorkerHealth['ended'] = {
  succeeded: 0,
  errored: 0,
  failed: 0,
  snoozed: 0,
  suspended: 0,
  released: 0,
  cancelled: 0,
  fenced: 0,
}

/** A worker that runs in this process. */
export interface Worker extends AsyncDisposable {
  readonly id: string
  /** Resolves when the worker takes jobs, or a signal has ended it before. Rejects if it cannot start, or `stop` came first. */
  readonly ready: Promise<void>
  /** Resolves when the worker has stopped. Rejects if it could not start or had to give up. */
  readonly finished: Promise<void>
  health(): WorkerHealth
  /**
   * Takes no more jobs, lets running ones finish within the grace, then aborts and releases them. Idempotent: a second
   * caller awaits the same stop.
   */
  stop(options?: { readonly grace?: Duration | undefined }): Promise<void>
}

/** A worker definition with every default applied, checked and frozen. */
export interface ResolvedWorker {
  readonly handlers: ReadonlyMap<string, ResolvedHandler>
  readonly schedules: ReadonlyMap<string, ResolvedSchedule>
  /** Those of its handlers' jobs. */
  readonly limits: ReadonlyMap<string, ResolvedLimit>
  /** Slots per queue; `'*'` is always there, shared by the queues without an entry. */
  readonly concurrency: Readonly<Record<QueueName, number>>
  readonly middleware: readonly Middleware[]
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly graceMs: number
  readonly hooks: Hooks
  readonly stop: (() => Maybe<void>) | undefined
}

/** A generic type takes any option: those that nobody knows must be refused here. */
type OnlyKnown<W> = { readonly [K in Exclude<keyof W, keyof WorkerDefinition>]: never }

/**
 * Defines a worker; `errand work` runs the default export of its file.
 * @throws `E_OPTION` for an unknown option or a wrong value (a lease shorter than three heartbeats, too), `E_DURATION`,
 * `E_DUPLICATE_JOB` for two handlers of one name. A factory's definition is checked when the worker starts.
 * @example
 * export default defineWorker({
 *   concurrency: { media: 4, '*': 10 },
 *   handlers: [handle(makeThumbnail, async ({ file, width }, ctx) => ({ path: await resize(file, width, ctx.signal) }))],
 * })
 */
export function defineWorker<W extends WorkerSource>(worker: W & OnlyKnown<W>): W {
  if (typeof worker !== 'function') resolveWorker(worker)
  return worker
}

const hookNames = ['before', 'after', 'failing', 'looping'] as const
const known: readonly string[] = [
  'handlers',
  'schedules',
  'concurrency',
  'middleware',
  'lease',
  'heartbeat',
  'grace',
  'stop',
  ...hookNames,
]

/** @throws `E_OPTION` if it returns no object */
export async function callFactory(factory: () => unknown): Promise<WorkerDefinition> {
  const made = await factory()
  if (typeof made === 'object' && made !== null) return made as WorkerDefinition
  throw new ErrandError(
    'E_OPTION',
    `the worker's function returned ${describe(made)}; return what defineWorker() returned`,
  )
}

/** @throws `E_OPTION`, `E_DURATION`, `E_DUPLICATE_JOB` */
export function resolveWorker(worker: WorkerDefinition): ResolvedWorker {
  checkOptions('defineWorker()', worker, known)
  for (const name of [...hookNames, 'stop'] as const) {
    if (worker[name] !== undefined) checkFunction(`defineWorker() ${name}`, worker[name])
  }
  const { before, after, failing, looping } = worker
  return Object.freeze({
    handlers: handlersByName(worker.handlers),
    schedules: schedulesByName(worker.schedules),
    limits: limitsByName(worker.handlers),
    concurrency: resolveConcurrency(worker.concurrency),
    middleware: checkMiddleware('defineWorker()', worker.middleware),
    ...resolveLease(worker),
    graceMs: durationMs(worker.grace ?? workerDefaults.graceMs, 'defineWorker() grace'),
    hooks: Object.freeze({ before, after, failing, looping }),
    stop: worker.stop,
  })
}

function handlersByName(handlers: readonly JobHandler[]): ReadonlyMap<string, ResolvedHandler> {
  if (!Array.isArray(handlers)) {
    throw new ErrandError('E_OPTION', `defineWorker() handlers is ${describe(handlers)}; it must be a list`)
  }
  const byName = new Map<string, ResolvedHandler>()
  for (const each of handlers as readonly JobHandler[]) {
    const handler = resolvedHandler(each)
    const { name } = resolvedJob(handler.job)
    if (byName.has(name)) {
      throw new ErrandError('E_DUPLICATE_JOB', `two handlers of this worker are for jobs named '${name}'`)
    }
    byName.set(name, handler)
  }
  return byName
}

function schedulesByName(schedules: WorkerDefinition['schedules'] = []): ResolvedWorker['schedules'] {
  if (!Array.isArray(schedules)) {
    throw new ErrandError('E_OPTION', `defineWorker() schedules is ${describe(schedules)}; it must be a list`)
  }
  const byName = new Map<string, ResolvedSchedule>()
  for (const each of schedules as readonly ScheduleDefinition[]) {
    const schedule = resolvedSchedule(each)
    if (byName.has(schedule.name)) {
      throw new ErrandError('E_SCHEDULE', `two schedules of this worker are named '${schedule.name}'`)
    }
    byName.set(schedule.name, schedule)
  }
  return byName
}

/** @throws `E_LIMIT` for two limits of one name */
function limitsByName(handlers: readonly JobHandler[]): ResolvedWorker['limits'] {
  const byName = new Map<string, ResolvedLimit>()
  for (const { limit } of handlers.map(({ job }) => resolvedJob(job))) {
    if (!limit) continue
    const other = byName.get(limit.name)
    if (other && other !== limit)
      throw new ErrandError(
        'E_LIMIT',
        `two limits of this worker's jobs are named '${limit.name}'; define it once and share it`,
      )
    byName.set(limit.name, limit)
  }
  return byName
}

const mostSlots = 10_000

function resolveConcurrency(concurrency: WorkerDefinition['concurrency']): ResolvedWorker['concurrency'] {
  const what = 'defineWorker() concurrency'
  if (typeof concurrency !== 'object' || concurrency === null) {
    return Object.freeze({
      '*': checkInteger(
        what,
        concurrency === undefined ? workerDefaults.concurrency : concurrency,
        1,
        mostSlots,
      ),
    })
  }
  const slots: Record<string, number> = { '*': workerDefaults.concurrency }
  for (const [queue, count] of Object.entries(concurrency)) {
    if (queue !== '*') checkQueueName(queue)
    slots[queue] = checkInteger(`${what}['${queue}']`, count, 1, mostSlots)
  }
  return Object.freeze(slots)
}

function resolveLease(worker: WorkerDefinition): { readonly leaseMs: number; readonly heartbeatMs: number } {
  const { heartbeatMaxMs, heartbeatsPerLease, minHeartbeatsPerLease } = workerDefaults
  const leaseMs = durationMs(worker.lease ?? workerDefaults.leaseMs, 'defineWorker() lease')
  const derivedMs = Math.max(1, Math.min(heartbeatMaxMs, Math.floor(leaseMs / heartbeatsPerLease)))
  const heartbeatMs = durationMs(worker.heartbeat ?? derivedMs, 'defineWorker() heartbeat')
  if (heartbeatMs < 1 || leaseMs < heartbeatMs * minHeartbeatsPerLease) {
    throw new ErrandError(
      'E_OPTION',
      `defineWorker() lease is ${leaseMs} ms with a heartbeat every ${heartbeatMs} ms; a lease must last at least ${minHeartbeatsPerLease} heartbeats, or one late beat loses every claim`,
    )
  }
  return { leaseMs, heartbeatMs }
}
