import { resolveConfig } from './config/resolve.ts'
import type { Config } from './define/config.ts'
import { findBody } from './define/flow.ts'
import type { AnyJob, JobRequest } from './define/job.ts'
import { resolveWorker } from './define/worker.ts'
import type { Worker, WorkerSource, WorkOptions } from './define/worker.ts'
import type { Dispatch, DispatchRequest, FlowReceipt, Receipt } from './dispatch/request.ts'
import { ErrandError } from './errors.ts'
import type { FlowCounts } from './job/flow.ts'
import { createInstance } from './instance.ts'
import type { Instance } from './instance.ts'
import { holding, holdUntil } from './keep-alive.ts'
import { lazyWorker } from './lazy-worker.ts'
import { examine } from './doctor/doctor.ts'
import type { DoctorOptions, DoctorReport } from './doctor/doctor.ts'
import { createEvents } from './operate/events.ts'
import type { Events } from './operate/events.ts'
import { createFlows } from './operate/flows.ts'
import type { Flows } from './operate/flows.ts'
import { createJobs } from './operate/jobs.ts'
import type { Jobs } from './operate/jobs.ts'
import { createQueues } from './operate/queues.ts'
import type { Queues } from './operate/queues.ts'
import { createLimits } from './operate/limits.ts'
import type { Limits } from './operate/limits.ts'
import { createSchedules } from './operate/schedules.ts'
import type { Schedules } from './operate/schedules.ts'
import { waitForFlow } from './operate/flow-result.ts'
import { waitForResult } from './operate/result.ts'
import { createTransfers } from './transfer/transfer.ts'
import type { Transfers } from './transfer/transfer.ts'
import type { ResultOptions } from './operate/result.ts'
import { createWorkers } from './operate/workers.ts'
import type { Workers } from './operate/workers.ts'
import { checkInteger, checkOptions, describe } from './options.ts'
import { outside } from './outside.ts'
import { systemClock } from './ports/system-clock.ts'
import type { LogRoles, MigrationReport } from './ports/job-log.ts'
import type { Transaction } from './ports/transaction.ts'

/** An application's way to its jobs: dispatch them, run them, look after them. */
export interface Errand extends AsyncDisposable {
  /**
   * Creates a job, or all jobs of a flow (`chain`, `batch`, `flow`): all or none. Resolves once the log has stored it (with `tx`: as a
   * part of your transaction), whatever happens to the broker: after that it waits for the broker's confirm, at most `publishWait` (1 s).
   *
   * @throws before anything is sent: `E_PAYLOAD_INVALID`, `E_PAYLOAD_NOT_SERIALIZABLE`, `E_PAYLOAD_TOO_LARGE`, `E_KEY`,
   * `E_ID`, `E_NAME`, `E_DURATION`, `E_OPTION`, `E_TRANSACTION`, `E_NEED_LIMIT`; for a flow `E_BATCH_REFUSED` with the reason for each job,
   * `E_NEED_CYCLE`, `E_FLOW_DEPTH`, `E_FLOW_TOO_LARGE`. Then, with nothing stored: `E_NEED_UNKNOWN`, `E_FLOW_DUPLICATE`. Then: `E_LOG_UNREACHABLE` (nothing was stored),
   * `E_DISPATCH_UNKNOWN` (nobody knows), `E_RIGHTS`, `E_LOG`; these carry the job's id in `ids`, and dispatching again with
   * `{ id }` is safe.
   * @example const receipt = await errand.dispatch(makeThumbnail, { file: 'a.jpg' }, { lane: 'high' })
   */
  readonly dispatch: Dispatch
  /**
   * Creates many jobs in one transaction: all of them or none. Receipts come in the order of the requests.
   * @throws as `dispatch`; `E_BATCH_REFUSED` when a request is refused, with the reason for each in `requests`.
   * @example await errand.dispatchMany([makeThumbnail.with({ file: 'a.jpg' }), makeThumbnail.with({ file: 'b.jpg' })])
   */
  dispatchMany<const R extends readonly JobRequest<unknown>[]>(
    requests: R,
    options?: { readonly tx?: Transaction | undefined },
  ): Promise<{ readonly [K in keyof R]: R[K] extends JobRequest<infer X> ? Receipt<X> : never }>
  /**
   * Starts a worker in this process. It returns at once; `ready` resolves when it takes jobs.
   * @throws `E_OPTION`, `E_DURATION` and `E_DUPLICATE_JOB` for a wrong definition; one that a factory makes rejects `ready`.
   * @example const worker = errand.work(definition); await worker.ready
   */
  work(worker: WorkerSource, options?: WorkOptions): Worker
  /**
   * Waits for the end of a flow, and resolves with its counts. Throws as it does for a job.
   * @example const { succeeded } = await errand.result(flowReceipt, { timeout: '1h' })
   */
  result(flow: Pick<FlowReceipt<unknown>, 'kind' | 'id'>, options?: ResultOptions): Promise<FlowCounts>
  /**
   * Waits for the end of a job, in whatever process it runs, and resolves with its result.
   * @throws `E_RESULT_FAILED` when it failed (its error is the `cause`) or was cancelled, `E_RESULT_TIMEOUT`,
   * `E_NOT_FOUND`, `E_CLOSED`, `E_LOG_UNREACHABLE` when the log goes away (the job goes on: ask again); the signal's
   * reason when that aborts.
   * @example const { path } = await errand.result(receipt, { timeout: '1m' })
   */
  result<R>(receipt: Receipt<R>, options?: ResultOptions): Promise<R>
  /** "I have just committed": jobs that were dispatched with `tx` start at once instead of after the next sweep. */
  wake(): void
  readonly jobs: Jobs
  readonly flows: Flows
  readonly events: Events
  readonly queues: Queues
  readonly workers: Workers
  readonly schedules: Schedules
  readonly limits: Limits
  readonly transfer: Transfers
  /** Makes or updates the log's schema. `restored`: a backup was restored, so cursors of before are refused. @throws `E_LOG` */
  migrate(options?: { readonly restored?: boolean | undefined }): Promise<MigrationReport>
  /**
   * The SQL that gives these roles of the database their rights on the log, and no others; with `apply` it is run as well,
   * which only the owner of the log may. Do it again after each migration.
   * @throws `E_OPTION` for a log without roles (SQLite), or a name that no role can have; with `apply` also `E_RIGHTS`
   * @example console.log(await errand.grants({ dispatcher: 'web', worker: 'jobs', operator: 'ops' }))
   */
  grants(roles: LogRoles, options?: { readonly apply?: boolean | undefined }): Promise<string>
  /**
   * What the fleet runs on, and what is wrong with it. Takes two seconds where log and broker differ. With `repair`, ready
   * jobs whose tickets are gone from the broker are published again.
   * @example const { findings } = await errand.doctor({ repair: true })
   */
  doctor(options?: DoctorOptions): Promise<DoctorReport>
  /** Connects now instead of on first use. @throws `E_LOG_UNREACHABLE`, `E_LOG_VERSION`, `E_RIGHTS`, `E_MISSING_LOG`, `E_PACKAGE_MISSING` */
  connect(): Promise<void>
  /** Stops this instance's workers, lets what was dispatched reach the log, and disconnects. A second caller awaits the same close. */
  close(): Promise<void>
}

/** How `fakeErrand` puts other parts under an instance. */
export interface Swappable {
  /** @throws `E_FAKE` when it is swapped already. Returns what puts the real parts back. */
  swap(instance: Instance): () => void
}

// Registered, as in define/job.ts: two copies of this package know each other's instances.
const swapKey: unique symbol = Symbol.for('@errand/core:instance') as never

/**
 * Makes an instance: synchronous, and without any I/O. It loads packages and connects on first use, and the worker half
 * when `work()` is called. One per process is enough.
 *
 * @throws `E_OPTION`, `E_DURATION`, `E_URL` for a wrong configuration; what is missing shows on first use.
 * @example
 * import config from './errand.config.ts'
 * export const errand = createErrand(config)
 */
export function createErrand(config: Config = {}): Errand {
  return errandOver(createInstance(resolveConfig(config), systemClock))
}

interface Parts {
  readonly instance: Instance
  readonly jobs: Jobs
  readonly flows: Flows
  readonly events: Events
  readonly queues: Queues
  readonly workers: Workers
  readonly schedules: Schedules
  readonly limits: Limits
  readonly transfer: Transfers
}

/** The instance as applications see it. */
export function errandOver(real: Instance): Errand {
  const realParts = createParts(real)
  let parts = realParts

  function open(): Instance {
    if (parts.instance.closing.signal.aborted)
      throw new ErrandError('E_CLOSED', 'this instance has been closed')
    return parts.instance
  }

  const functions: Omit<Errand, keyof Parts | 'wake' | 'work'> = {
    dispatch: (async (what: AnyJob, payload?: unknown, options?: DispatchRequest['options']) => {
      const { dispatcher } = open()
      const body = findBody(what)
      return body
        ? dispatcher.dispatchFlow(body, payload ?? {})
        : dispatcher.dispatch({ job: what, payload, options })
    }) as Dispatch,
    dispatchMany: (async (requests: readonly JobRequest<unknown>[], options: { tx?: Transaction } = {}) => {
      checkOptions('dispatchMany() options', options, ['tx'])
      return open().dispatcher.dispatchMany(requests, options.tx)
    }) as Errand['dispatchMany'],
    result: (async (receipt: Receipt<unknown> | FlowReceipt<unknown>, options?: ResultOptions) => {
      if (typeof receipt !== 'object' || receipt === null) {
        throw new ErrandError('E_OPTION', `result() takes what dispatch() returned, not ${describe(receipt)}`)
      }
      if ('kind' in receipt && receipt.kind === 'flow') return waitForFlow(open(), receipt.id, options)
      return waitForResult(open(), receipt.id, options)
    }) as Errand['result'],
    migrate: async (options = {}) => {
      checkOptions('migrate()', options, ['restored'])
      return open().migrate(options)
    },
    grants: async (roles, options = {}) => {
      checkOptions('grants() roles', roles, ['dispatcher', 'worker', 'operator'])
      checkOptions('grants()', options, ['apply'])
      return open().grants(roles, { apply: options.apply === true })
    },
    doctor: async (options = {}) => {
      checkOptions('doctor()', options, ['repair'])
      return examine(open(), options)
    },
    connect: async () => {
      await open().connected()
    },
    close: () => parts.instance.close(),
    [Symbol.asyncDispose]: () => parts.instance.close(),
  }
  const errand: Errand = {
    ...holding(functions),
    work: (source, options) => work(open(), source, options),
    wake: () => holdUntil(open().dispatcher.wake()),
    get jobs() {
      return parts.jobs
    },
    get flows() {
      return parts.flows
    },
    get events() {
      return parts.events
    },
    get queues() {
      return parts.queues
    },
    get workers() {
      return parts.workers
    },
    get schedules() {
      return parts.schedules
    },
    get limits() {
      return parts.limits
    },
    get transfer() {
      return parts.transfer
    },
  }
  const swappable: Swappable = {
    swap(instance) {
      if (parts !== realParts) {
        throw new ErrandError(
          'E_FAKE',
          'this instance is already faked; end that scope first (dispose the fake)',
        )
      }
      parts = createParts(instance)
      return () => {
        parts = realParts
      }
    },
  }
  return Object.freeze(Object.defineProperty(errand, swapKey, { value: swappable }))
}

/** @throws `E_OPTION` when it was not made by `createErrand`. */
export function swappable(errand: Errand): Swappable {
  const found: unknown = Reflect.get(errand, swapKey)
  if (found) return found as Swappable
  throw new ErrandError('E_OPTION', `${describe(errand)} is not an instance that createErrand() made`)
}

function createParts(instance: Instance): Parts {
  const jobs = createJobs(instance)
  return {
    instance,
    jobs: holding(jobs),
    flows: holding(createFlows(instance)),
    events: holding(createEvents(instance)),
    queues: holding(createQueues(instance, jobs)),
    workers: holding(createWorkers(instance)),
    schedules: holding(createSchedules(instance)),
    limits: holding(createLimits(instance)),
    transfer: holding(createTransfers(instance)),
  }
}

function work(instance: Instance, source: WorkerSource, options: WorkOptions = {}): Worker {
  checkOptions('work()', options, ['queues', 'maxJobs', 'signals', 'label'])
  const { maxJobs } = options
  if (maxJobs !== undefined) checkInteger('work() maxJobs', maxJobs, 1, Number.MAX_SAFE_INTEGER)
  if (typeof source === 'object') resolveWorker(source)
  else if (typeof source !== 'function')
    throw new ErrandError(
      'E_OPTION',
      `the worker is ${describe(source)}; pass what defineWorker() returned, or a function that returns it`,
    )
  const id = instance.newWorkerId()
  const worker = outside(() =>
    lazyWorker(id, instance.logger, async () => {
      const [{ startWorker }, deps] = await Promise.all([
        import('./worker/worker.ts'),
        instance.workerDeps(id),
      ])
      return startWorker(source, options, deps)
    }),
  )
  instance.keep(worker)
  // It was started to work: whatever its driver, it keeps the process alive until it has stopped.
  holdUntil(worker.finished)
  return holding(worker)
}
