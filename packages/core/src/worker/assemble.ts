import { hostname } from 'node:os'
import { relayDefaults } from '../config/defaults.ts'
import { resolvedJob } from '../define/job.ts'
import type { ResolvedWorker } from '../define/worker.ts'
import { ErrandError } from '../errors.ts'
import type { WorkerRef } from '../job/claim.ts'
import type { QueueName } from '../job/ticket.ts'
import { didYouMean } from '../options.ts'
import type { BeatReply } from '../ports/job-log.ts'
import { LimitDeclarations } from '../limit/declarations.ts'
import { Relay } from '../relay/relay.ts'
import { Ticker } from '../schedule/ticker.ts'
import { freeText, personLimitBytes } from '../text.ts'
import type { WorkerDeps } from './deps.ts'
import type { Allowance } from './intake/allowance.ts'
import type { PauseGate } from './intake/pause-gate.ts'
import { Grants } from './intake/grants.ts'
import { heartbeat } from './lease/heartbeat.ts'
import type { Heartbeat } from './lease/heartbeat.ts'
import { HookRunner } from './run/hooks.ts'
import { lostForGood } from './run/lost.ts'
import { Pool, poolSizes } from './intake/pool.ts'
import { ProgressReports } from './run/progress.ts'
import { Reconciler } from './lease/reconciler.ts'
import { Runner } from './run/runner.ts'
import { Runs } from './run/runs.ts'
import { Service } from './intake/service.ts'
import { Settler } from './run/settler.ts'
import { ExclusiveRun } from './run/exclusive-run.ts'
import { OutcomeCounts } from './run/outcome-counts.ts'
import { Remembering } from './steps/remembering.ts'

/** A worker's parts, which exist once its definition is known. */
export interface Parts {
  readonly worker: ResolvedWorker
  readonly ref: WorkerRef
  readonly queues: readonly QueueName[]
  readonly runs: Runs
  readonly heartbeat: Heartbeat
  readonly progress: ProgressReports
  readonly reconciler: Reconciler
  readonly settler: Settler
  readonly outcomeCounts: OutcomeCounts
  readonly pools: readonly Pool[]
  readonly relay: Relay
  readonly ticker: Ticker
  readonly limits: LimitDeclarations
}

export interface Surroundings {
  readonly deps: WorkerDeps
  readonly label: string | undefined
  /** Serve only these. */
  readonly queues: readonly QueueName[] | undefined
  readonly gate: PauseGate
  /** The limit on the jobs that it may begin in all, if there is one. */
  readonly allowance: Allowance | undefined
  readonly stopping: AbortSignal
  readonly answered: (reply: BeatReply, sentMs: number, toldUpTo: number) => void
  readonly leaseOut: () => void
  /** A queue is subscribed. */
  readonly served: () => void
  readonly logGone: (error: ErrandError) => void
  /** The worker cannot go on. */
  readonly exhausted: (why: string) => void
}

/** A relay sleeps at most a quarter of a lease. After a gap of a third, the log calls nothing lost for a while. */
const sweepsPerLease = 4

/** @throws `E_OPTION` if there is no queue to serve. */
export function assemble(worker: ResolvedWorker, surroundings: Surroundings): Parts {
  const { deps, gate, allowance, stopping, leaseOut, exhausted } = surroundings
  const { log, clock, logger, codec, driver, route, publisher, recorded, settings } = deps
  const queues = surroundings.queues ?? listQueues(worker)
  if (queues.length === 0) {
    throw new ErrandError('E_OPTION', 'the worker has no handlers and no queues, so it could do nothing')
  }
  checkSlots(worker, queues)
  const ref: WorkerRef = {
    id: deps.workerId,
    host: hostname(),
    pid: process.pid,
    label: surroundings.label === undefined ? undefined : freeText(surroundings.label, personLimitBytes),
    leaseMs: worker.leaseMs,
    graceMs: worker.graceMs,
  }
  const sizes = poolSizes(queues, worker.concurrency)
  const slots = Object.fromEntries(sizes.flatMap(({ queues, size }) => queues.map((each) => [each, size])))
  const beats = heartbeat({
    ref,
    intervalMs: worker.heartbeatMs,
    log,
    logFactory: deps.logFactory,
    clock,
    logger,
    status: { queues, slots, taking: false, why: 'it is starting', drivers: route.places },
    answered: surroundings.answered,
    leaseOut,
    logGone: surroundings.logGone,
  })
  const runs = new Runs((untilMs) => beats.busyUntil(untilMs))
  const hooks = new HookRunner(worker.hooks, clock, logger)
  const settler = new Settler({ log, ref, publisher, recorded, clock, logger, settings })
  const grants = new Grants({ log, ref, clock, logger, leaseLeftMs: () => beats.leaseLeftMs() })
  const openRequests = (): number => grants.open
  const { heartbeatMs } = worker
  const reconciler = new Reconciler({ runs, settler, codec, clock, logger, heartbeatMs, openRequests })
  const { schedules, handlers } = worker
  const ticker = new Ticker({
    log,
    workerId: deps.workerId,
    schedules,
    handlers,
    settings,
    codec,
    publisher,
    clock,
    logger,
  })
  const limits = new LimitDeclarations({
    log,
    workerId: deps.workerId,
    limits: worker.limits,
    publisher,
    clock,
    logger,
  })
  const relay = new Relay({
    log,
    driver,
    publisher,
    clock,
    logger,
    everyMs: Math.min(relayDefaults.sweepEveryMs, worker.leaseMs / sweepsPerLease),
    publishGraceMs: settings.publishGraceMs,
    queues,
    ticker,
    quiet: () => pools.flatMap((pool) => pool.quiet),
    failed: (lost) => lostForGood(lost, { worker, hooks, codec, logger }),
  })
  const outcomeCounts = new OutcomeCounts()
  const progress = new ProgressReports(beats, clock)
  const remembering = new Remembering({ log, ref, clock, logger, settings })
  const runner = new Runner({
    outcomeCounts,
    worker,
    ref,
    deps,
    hooks,
    settler,
    runs,
    exclusive: new ExclusiveRun(gate, runs, clock),
    beats,
    progress,
    remembering,
    stopping,
    dueIn: (ms) => relay.dueIn(ms),
    placeFree: (queue) => {
      for (const pool of pools) pool.ended(queue)
    },
    isDisowned: (claim) => reconciler.hasDisowned(claim),
    exhausted,
  })
  const resubscribed = (queue: QueueName): void => relay.returned(queue)
  const ahead = ![...worker.handlers.values()].some(({ job }) => resolvedJob(job).onCrash === 'fail')
  const service = new Service(clock, logger, surroundings.served)
  const { trips } = settler
  const shared = { ahead, allowance, deps, ref, gate, runs, runner, trips }
  const poolParts = { ...shared, grants, hooks, leaseOut, resubscribed, service }
  const pools = sizes.map((pool) => new Pool(pool.queues, pool.size, poolParts))
  return {
    worker,
    ref,
    queues,
    runs,
    heartbeat: beats,
    progress,
    reconciler,
    settler,
    outcomeCounts,
    pools,
    relay,
    ticker,
    limits,
  }
}

/** The queues of its handlers' jobs. */
function listQueues(worker: ResolvedWorker): readonly QueueName[] {
  const queues = new Set([...worker.handlers.values()].map(({ job }) => resolvedJob(job).queue))
  return [...queues].toSorted()
}

/**
 * A misspelt name would leave the real queue without slots.
 * @throws `E_OPTION` for slots of a queue that this worker cannot serve.
 */
function checkSlots({ concurrency, handlers }: ResolvedWorker, served: readonly QueueName[]): void {
  const known = new Set([...served, ...[...handlers.values()].map(({ job }) => resolvedJob(job).queue)])
  const stranger = Object.keys(concurrency).find((queue) => queue !== '*' && !known.has(queue))
  if (stranger === undefined) return
  throw new ErrandError(
    'E_OPTION',
    `concurrency has slots for queue "${stranger}", but no handler's job uses that queue and the option queues does not name it; ${didYouMean(stranger, [...known])}`,
  )
}
