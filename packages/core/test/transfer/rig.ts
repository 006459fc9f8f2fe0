import { z } from 'zod'
import { resolveConfig } from '../../src/config/resolve.ts'
import { defineJob } from '../../src/define/job.ts'
import { handle } from '../../src/define/handler.ts'
import { defineWorker } from '../../src/define/worker.ts'
import type { Worker } from '../../src/define/worker.ts'
import { ErrandError } from '../../src/errors.ts'
import { errandOver } from '../../src/errand.ts'
import type { Errand } from '../../src/errand.ts'
import { createInstance } from '../../src/instance.ts'
import type {
  Delivery,
  Driver,
  DriverFactory,
  SubscribeOptions,
  Subscription,
} from '../../src/ports/driver.ts'
import type { JobLog, LogFactory } from '../../src/ports/job-log.ts'
import type { Transfer } from '../../src/ports/transfer.ts'
import { systemClock } from '../../src/ports/system-clock.ts'
import type { Ticket } from '../../src/job/ticket.ts'
import { memoryDriver } from '../../src/testing/memory-driver.ts'
import { memoryLog } from '../../src/testing/memory-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { urlIn } from '../../src/config/env-url.ts'
import { recordingLogger } from '../recording-logger.ts'
import type { RecordedLine } from '../recording-logger.ts'

export const job = defineJob({ name: 'a', queue: 'q', payload: z.number() })
/** In another queue of the same pool. */
export const otherJob = defineJob({ name: 'b', queue: 'other', payload: z.number() })

/** A broker of the test: its driver, and what a test sees of it. */
interface Broker {
  readonly factory: DriverFactory
  /** While true every call fails. */
  broken: boolean
  /** Publishing is not answered. */
  hangs: boolean
  tickets(queue?: string): Promise<number>
  /** What was published, in order. */
  readonly published: string[]
  /** Drivers that are open. */
  open: number
}

export interface Process {
  readonly errand: Errand
  readonly lines: readonly RecordedLine[]
  /** The environment that `env:NAME` is read from. */
  readonly env: Record<string, string>
}

export interface Rig extends AsyncDisposable {
  readonly clock: VirtualClock
  readonly log: JobLog
  /** By their URLs. */
  readonly brokers: ReadonlyMap<string, Broker>
  broker(url: string): Broker
  /** An instance as a process of its own would have it, configured with the broker of this URL. */
  process(url: string, env?: Record<string, string>): Process
  /** How long the log takes to answer where the driver has moved. */
  lookMs: number
  /** Starts a worker in it, and waits until it is ready. It notes the ids of the jobs that it ran. */
  work(
    on: Process,
    options?: { readonly concurrency?: number; readonly run?: () => Promise<void> },
  ): Promise<Worker>
  /** Job ids in the order in which handlers began. */
  readonly ran: string[]
  /** Lets time pass until it has settled, and answers as it does. */
  passing<T>(work: Promise<T>): Promise<T>
  advance(ms: number): Promise<void>
}

/** A system of several processes on one log, where URLs name brokers of the test. `database` delivers claims. */
export function rig(): Rig {
  const clock = virtualClock()
  const logs = memoryLog()
  const quiet = recordingLogger()
  const log = logs.open({ clock, logger: quiet })
  const brokers = new Map<string, Broker>()
  const errands: Errand[] = []
  const workers: Worker[] = []
  const ran: string[] = []

  function broker(url: string): Broker {
    const known = brokers.get(url)
    if (known) return known
    const made = url === 'database' ? claimsBroker() : ticketsBroker(url)
    brokers.set(url, made)
    return made
  }

  async function advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) await clock.advance(Math.min(left, 50))
  }

  async function passing<T>(work: Promise<T>): Promise<T> {
    const settled = new AbortController()
    const done = work.finally(() => settled.abort())
    done.catch(() => undefined)
    while (!settled.signal.aborted) await clock.advance(50)
    return done
  }

  const made: Rig = {
    clock,
    log,
    lookMs: 0,
    brokers,
    broker,
    ran,
    passing,
    advance,
    process(url, env = {}) {
      const logger = recordingLogger()
      const slow: LogFactory = {
        ...logs,
        open: (context) => {
          const inner = logs.open(context)
          const transfer = async (): Promise<Transfer | undefined> => {
            if (made.lookMs > 0) await clock.sleep(made.lookMs)
            return inner.transfer()
          }
          return { ...inner, transfer }
        },
      }
      const config = resolveConfig({ log: slow, driver: broker(url).factory, logger })
      const driverAt = async (address: string): Promise<DriverFactory> => {
        const found = brokers.get(urlIn(address, env))
        if (found) return found.factory
        throw new ErrandError('E_URL', `there is no broker ${address}`)
      }
      const errand = errandOver(createInstance({ ...config, driverAt }, clock))
      errands.push(errand)
      return { errand, lines: logger.lines, env }
    },
    async work({ errand }, { concurrency = 10, run = async () => undefined } = {}) {
      const handlers = [job, otherJob].map((each) =>
        handle(each, async (_payload, ctx) => {
          ran.push(ctx.job.id)
          await run()
        }),
      )
      const worker = errand.work(defineWorker({ concurrency, handlers }), { signals: false })
      workers.push(worker)
      await passing(worker.ready)
      return worker
    },
    async [Symbol.asyncDispose]() {
      await passing(Promise.all(workers.map((worker) => worker.stop({ grace: 0 }))))
      await passing(Promise.all(errands.map((errand) => errand.close())))
    },
  }
  return made
}

function ticketsBroker(url: string): Broker {
  const inner = memoryDriver()
  const looking = inner.open({ log: undefined as never, logger: recordingLogger(), clock: systemClock })
  const made: Broker = {
    factory: { errand: 'driver', name: 'broker', place: url, open: (context) => open(inner.open(context)) },
    broken: false,
    hangs: false,
    open: 0,
    published: [],
    tickets: async (queue = 'q') => (await looking.depth(queue)) ?? 0,
  }
  const check = (): void => {
    if (made.broken) throw new ErrandError('E_DRIVER', `${url} is broken`)
  }

  function open(driver: Driver): Driver {
    made.open += 1
    return {
      ...driver,
      name: url,
      async publish(tickets: readonly Ticket[]) {
        check()
        if (made.hangs) await new Promise<never>(() => {})
        made.published.push(...tickets.map(({ id }) => id))
        return driver.publish(tickets)
      },
      async subscribe(queue, options) {
        check()
        const subscription = await driver.subscribe(queue, options)
        return {
          close: () => subscription.close(),
          async next(max, signal) {
            check()
            return subscription.next(max, signal)
          },
        }
      },
      async depth(queue) {
        check()
        return driver.depth(queue)
      },
      async close() {
        made.open -= 1
        await driver.close()
      },
    }
  }
  return made
}

/** What the database driver does, without its wake-ups: it looks every 100 ms. */
function claimsBroker(): Broker {
  const made: Broker = {
    broken: false,
    hangs: false,
    open: 0,
    published: [],
    tickets: async () => 0,
    factory: {
      errand: 'driver',
      name: 'database',
      open({ log, clock }) {
        made.open += 1
        const subscribe = async (
          queues: readonly string[],
          { worker }: SubscribeOptions,
        ): Promise<Subscription> => {
          const end = new AbortController()
          return {
            close: async () => end.abort(),
            async next(max, signal): Promise<readonly Delivery[]> {
              while (!signal.aborted && !end.signal.aborted) {
                const claims = await log.take(queues, max, worker, crypto.randomUUID())
                const nothing = async (): Promise<void> => undefined
                if (claims.length > 0) {
                  return claims.map((granted) => ({
                    ticket: { id: granted.id, queue: granted.job.queue, lane: granted.job.lane, log: '' },
                    granted,
                    ack: nothing,
                    release: nothing,
                  }))
                }
                await clock.sleep(100, AbortSignal.any([signal, end.signal]))
              }
              return []
            },
          }
        }
        return {
          port: 1,
          name: 'database',
          capabilities: { delivers: 'claims', depth: 'unknown' },
          publish: async (tickets) => ({ accepted: tickets, refused: [] }),
          depth: async () => undefined,
          purge: async () => undefined,
          close: async () => void (made.open -= 1),
          subscribe: async (queue, options) => subscribe([queue], options),
          subscribeMany: subscribe,
        }
      },
    },
  }
  return made
}
