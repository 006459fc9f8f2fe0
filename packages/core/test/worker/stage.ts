import { eventually } from '@errand/testkit'
import { resolveConfig } from '../../src/config/resolve.ts'
import { handle } from '../../src/define/handler.ts'
import type { Context } from '../../src/define/handler.ts'
import type { defineJob } from '../../src/define/job.ts'
import type { Worker, WorkerDefinition, WorkOptions } from '../../src/define/worker.ts'
import { errandOver } from '../../src/errand.ts'
import type { Errand } from '../../src/errand.ts'
import { createInstance } from '../../src/instance.ts'
import type { EventRecord } from '../../src/job/events.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { DriverFactory } from '../../src/ports/driver.ts'
import type { JobLog, LogFactory } from '../../src/ports/job-log.ts'
import { systemClock } from '../../src/ports/system-clock.ts'
import { memoryDriver } from '../../src/testing/memory-driver.ts'
import { memoryLog } from '../../src/testing/memory-log.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { recordingLogger } from '../recording-logger.ts'
import type { RecordedLine } from '../recording-logger.ts'

export { eventually }

export interface StageOptions {
  readonly clock?: Clock
  readonly log?: LogFactory
  readonly driver?: DriverFactory
  readonly encrypt?: { readonly keys: readonly string[] }
  /** Wraps the log that the instance works on: for faults. */
  readonly wrap?: (log: JobLog) => JobLog
}

/** An instance on the reference log and driver, and what a test needs to see of it. */
export interface Stage extends AsyncDisposable {
  readonly errand: Errand
  /** The same log, without wrappers. */
  readonly log: JobLog
  readonly lines: readonly RecordedLine[]
  /** Starts a worker and waits until it is ready. Signals are not listened to. */
  work(definition: WorkerDefinition, options?: WorkOptions): Promise<Worker>
  /** Dispatches a job to a worker of its own. Resolves once its handler has begun. */
  begin(job: PlainJob, run: (ctx: Context) => unknown, definition?: Partial<WorkerDefinition>): Promise<Begun>
  events(id: string): Promise<readonly EventRecord[]>
  /** The types of the job's events, in order. */
  history(id: string): Promise<readonly string[]>
  /** Why the job was given back, each time. */
  releases(id: string): Promise<readonly unknown[]>
  /** Waits until the job's newest event is of this type. */
  until(id: string, type: string): Promise<void>
}

/** A job without a payload. */
type PlainJob = ReturnType<typeof defineJob<undefined, undefined>>

interface Begun {
  readonly id: string
  readonly worker: Worker
}

export function stage(options: StageOptions = {}): Stage {
  const clock = options.clock ?? systemClock
  const factory = options.log ?? memoryLog()
  const logger = recordingLogger()
  const { wrap } = options
  const log: LogFactory = wrap ? { ...factory, open: (context) => wrap(factory.open(context)) } : factory
  const { encrypt } = options
  const config = resolveConfig({ log, driver: options.driver ?? memoryDriver(), logger, encrypt })
  const errand = errandOver(createInstance(config, clock))
  const direct = factory.open({ clock, logger })
  const events = (id: string): Promise<readonly EventRecord[]> => direct.readHistory(id)
  const workers: Worker[] = []
  const history = async (id: string): Promise<string[]> => (await events(id)).map((event) => event.type)
  return {
    errand,
    log: direct,
    lines: logger.lines,
    async work(definition, workOptions = {}) {
      const worker = errand.work(definition, { signals: false, ...workOptions })
      workers.push(worker)
      await worker.ready
      return worker
    },
    async begin(job, run, definition = {}) {
      const begun = hold()
      const handler = handle(job, (_, ctx) => {
        begun.resolve()
        return run(ctx)
      })
      const worker = await this.work({ ...definition, handlers: [handler] })
      const { id } = await errand.dispatch(job)
      await begun.promise
      return { id, worker }
    },
    events,
    history,
    releases: async (id) =>
      (await events(id)).filter(({ type }) => type === 'released').map(({ data }) => data.why),
    until: (id, type) =>
      eventually(async () => {
        const types = await history(id)
        if (types.at(-1) !== type) throw new Error(`${id} is at ${types.join(', ')}, not at ${type}`)
      }),
    async [Symbol.asyncDispose]() {
      // Without a grace: a test that has failed must say so, and not wait for its handlers.
      const passing = 'advance' in clock ? letPass(clock as VirtualClock) : undefined
      await Promise.all(workers.map((worker) => worker.stop({ grace: 0 })))
      await errand.close()
      await direct.close()
      passing?.()
    },
  }
}

function letPass(clock: VirtualClock): () => void {
  const timer = setInterval(() => void clock.advance(1_000), 5)
  return () => clearInterval(timer)
}

/** Resolves when the signal aborts. */
export const aborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', resolve))

/** A promise that a test settles by hand. */
export function hold<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>()
}
