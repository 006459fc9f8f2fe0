import { resolveConfig } from '../config/resolve.ts'
import type { AnyJob, JobDefinition } from '../define/job.ts'
import type { WorkerSource } from '../define/worker.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { errandOver, swappable } from '../errand.ts'
import type { Errand } from '../errand.ts'
import { ErrandError } from '../errors.ts'
import type { Failure } from '../failure/failure.ts'
import { createInstance } from '../instance.ts'
import type { Instance } from '../instance.ts'
import { jobEvent } from '../operate/job-event.ts'
import type { Logger } from '../logging.ts'
import { checkOptions } from '../options.ts'
import type { JobLog, LogFactory } from '../ports/job-log.ts'
import type { Waiting } from '../worker/steps/waiting.ts'
import { Recorded } from './dispatched.ts'
import type { Dispatched, DispatchedFlow, DispatchedWhere } from './dispatched.ts'
import { silentLogger } from './fake-context.ts'
import { memoryDriver } from './memory-driver.ts'
import { Only } from './only.ts'
import { memoryLog } from './memory-log.ts'
import { virtualClock } from './virtual-clock.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a `run` did. */
export interface FakeRun {
  readonly succeeded: number
  /** Failed for good. */
  readonly failed: number
  /** Every attempt that ended with an error, also where it will be retried. */
  readonly errors: readonly { readonly id: string; readonly name: string; readonly error: Failure }[]
}

/** An instance without servers, for applications' own tests: the reference log and driver, and a clock that you move. */
export interface FakeErrand extends Disposable {
  readonly errand: Errand
  /**
   * What was dispatched of this job, in order, also in flows; duplicates are not in it. `where` asks for a queue, a delay or a flow.
   * @example expect(fake.dispatched(sendReceipt, { queue: 'mail', delay: '10m' })).toHaveLength(1)
   */
  dispatched<In, N>(
    job: JobDefinition<In, unknown, unknown, N>,
    where?: DispatchedWhere,
  ): readonly Dispatched<In>[]
  /**
   * All that was dispatched, of every job: so a test says that nothing else was.
   * @example expect(fake.dispatched().map(({ name }) => name)).toEqual(['mail.receipt'])
   */
  dispatched(): readonly Dispatched[]
  /** The flows that were dispatched, in order, with the jobs that are their members; inner flows are flows of their own. */
  flows(name?: string): readonly DispatchedFlow[]
  /** Runs all that is due, with the worker's real code, until nothing is left. What waits for its time is left for `advance`. */
  run(worker: WorkerSource, options?: FakeRunOptions): Promise<FakeRun>
  /** Moves the clock: delays, retries and sleeps are over, and the next `run` goes on with them. */
  advance(by: Duration): Promise<void>
}

export interface FakeRunOptions {
  /** Starts jobs of these definitions and no others, which wait for the next `run`. Default: all. */
  readonly only?: readonly AnyJob[] | undefined
}

export interface FakeErrandOptions {
  /** Where the instance logs. Default: nowhere. */
  readonly logger?: Logger | undefined
}

/** So long the clock stands still while jobs run; then they wait for something real, and time goes on as it does. */
const stillMs = 50
const lookEveryMs = 2
/**
 * A run that only waits suspends soon, in real time: nothing else moves the clock, and a test is not to wait a quarter of a
 * second. Every sleep suspends, as every delay waits: `advance` ends it.
 */
const fakeWaiting: Waiting = {
  quiet: (callback) => {
    const timer = setTimeout(callback, 5)
    return () => clearTimeout(timer)
  },
  longestInSlotMs: 0,
}
const pageSize = 500

/**
 * Puts the reference log and driver, and a virtual clock, under an instance until the scope ends; without one it makes
 * its own. Code that imports your instance needs no change.
 * @throws `E_FAKE` when the instance is faked already; its functions do, after the scope has ended.
 * @example
 * test('an order sends its receipt', async () => {
 *   using fake = fakeErrand(errand)
 *   await placeOrder({ sku: 'A' })
 *   expect(fake.dispatched(sendReceipt)).toMatchObject([{ payload: { sku: 'A' } }])
 *   expect(await fake.run(worker)).toMatchObject({ succeeded: 1 })
 * })
 */
export function fakeErrand(errand?: Errand, options: FakeErrandOptions = {}): FakeErrand {
  checkOptions('fakeErrand()', options, ['logger'])
  const clock = virtualClock(Date.now())
  const recorded = new Recorded()
  const only = new Only()
  const factory = memoryLog()
  const log: LogFactory = {
    ...factory,
    open: (context) => only.keepFrom(recorded.keepFrom(factory.open(context))),
  }
  const driver = memoryDriver()
  const config = resolveConfig({ log, driver, logger: options.logger ?? silentLogger })
  const instance = createInstance(config, clock, fakeWaiting)
  const restore = errand && swappable(errand).swap(instance)
  const faked = errand ?? errandOver(instance)
  let ended = false

  function checkOpen(): void {
    if (ended) throw new ErrandError('E_FAKE', 'the scope of this fake has ended')
  }

  return {
    errand: faked,
    dispatched(job?: AnyJob, where?: DispatchedWhere) {
      checkOpen()
      // A recorded payload is what its dispatch was given.
      return recorded.jobs(job, where) as readonly Dispatched<never>[]
    },
    flows(name) {
      checkOpen()
      return recorded.flows(name)
    },
    async run(worker, runOptions = {}) {
      checkOpen()
      checkOptions('run()', runOptions, ['only'])
      only.set(runOptions.only)
      try {
        return await runUntilIdle(faked, instance, clock, worker, only)
      } finally {
        only.set(undefined)
      }
    },
    async advance(by) {
      checkOpen()
      await clock.advance(durationMs(by, 'advance()'))
    },
    [Symbol.dispose]() {
      if (ended) return
      ended = true
      restore?.()
      instance.close().catch(() => undefined)
    },
  }
}

async function runUntilIdle(
  errand: Errand,
  instance: Instance,
  clock: VirtualClock,
  source: WorkerSource,
  only: Only,
): Promise<FakeRun> {
  const { log, publisher } = await instance.connected()
  const before = await log.end()
  // What is due: the worker's own relay would need time to pass.
  const sweep = async (): Promise<boolean> => {
    const queues = (await log.workers()).flatMap((each) => each.queues)
    const { tickets, full } = await log.sweep({ limit: pageSize, republish: true, queues, skipQueues: [] })
    await publisher.publish(tickets)
    return tickets.length > 0 || full
  }
  // A run of some jobs only has dropped the tickets of the others.
  await log.expedite([...new Set((await log.queues()).map(({ name }) => name))], { limit: pageSize })
  await sweep()

  const worker = errand.work(source, { signals: false })
  try {
    await worker.ready
    const queues = (await log.workers()).find(({ id }) => id === worker.id)?.queues ?? []
    await Promise.race([idle(log, queues, clock, sweep, only), worker.finished])
  } finally {
    await worker.stop()
  }
  return summarizeRun(instance, log, before)
}

/** Resolves when these queues have neither a ready nor a running job, and nothing else is due. */
async function idle(
  log: JobLog,
  queues: readonly string[],
  clock: VirtualClock,
  sweep: () => Promise<boolean>,
  only: Only,
): Promise<void> {
  const startedMs = performance.now()
  let lastMs = startedMs
  for (;;) {
    const counts = await log.queues()
    const isChosenReady = await only.isReady(log)
    const busy = counts.some(({ name, paused, ready, running }) => {
      const waits = ready > 0 && !paused && isChosenReady !== false
      return queues.includes(name) && (running > 0 || waits)
    })
    if (!busy && !(await sweep())) return
    const nowMs = performance.now()
    if (nowMs - startedMs < stillMs) {
      await new Promise<void>((resolve) => setImmediate(resolve))
    } else {
      await clock.advance(nowMs - lastMs)
      await new Promise<void>((resolve) => setTimeout(resolve, lookEveryMs))
    }
    lastMs = nowMs
  }
}

async function summarizeRun({ codec }: Instance, log: JobLog, before: string): Promise<FakeRun> {
  let succeeded = 0
  let failed = 0
  const errors: FakeRun['errors'][number][] = []
  for (let after = before, full = true; full;) {
    const page = await log.read({ after, limit: pageSize })
    for (const record of page.events) {
      const event = await jobEvent(record, codec)
      if (event.type === 'succeeded') succeeded += 1
      if (event.type === 'failed') failed += 1
      if (event.type === 'errored') errors.push({ id: event.jobId, name: event.name, error: event.error })
    }
    after = page.next
    full = page.events.length === pageSize
  }
  return { succeeded, failed, errors }
}
