import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { TestContext } from 'vitest'
import { isErrandError } from '@errand/core/ports'
import type {
  Delivery,
  Driver,
  JobLog,
  Lane,
  QueueName,
  Subscription,
  Ticket,
  WorkerRef,
} from '@errand/core/ports'
import { newJob, newTicket, workerRef } from '../fixtures.ts'
import { realPause, until } from '../until.ts'
import type { DriverHarness, DriverUnderTest } from './harness.ts'

const stepMs = 10
/** A driver of a polled broker keeps tickets for this long, and waits longer for those of higher lanes. */
const patienceMs = 500
const mostTries = 10

/** The stage of a story about a driver: a queue of its own, and short methods for what stories do. */
export class DriverScene {
  readonly driver: Driver
  readonly queue: QueueName
  readonly #harness: DriverHarness
  readonly #opened: DriverUnderTest
  readonly #test: TestContext

  private constructor(harness: DriverHarness, opened: DriverUnderTest, test: TestContext) {
    this.#harness = harness
    this.#opened = opened
    this.#test = test
    this.driver = opened.driver
    this.queue = this.newQueue()
  }

  /** A driver of its own, closed when the test has finished. */
  static async begin(harness: DriverHarness, test: TestContext): Promise<DriverScene> {
    const opened = await harness.create(test)
    test.onTestFinished(() => opened.close())
    return new DriverScene(harness, opened, test)
  }

  newQueue(): QueueName {
    return `queue-${randomBytes(5).toString('hex')}`
  }

  /**
   * The outcome of an act that shows the order of lanes. If the broker was so slow that a driver does not wait for it, the act is
   * repeated with another queue: it has shown nothing.
   * @param prepare makes ready what the act needs, in this queue. Its time does not count.
   */
  async quickly<T>(prepare: (queue: QueueName) => Promise<() => Promise<T>>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const act = await prepare(this.newQueue())
      const fromMs = performance.now()
      const result = await act()
      if (performance.now() - fromMs < patienceMs || tries === mostTries) return result
    }
  }

  another(): Promise<Driver> {
    return this.#opened.another()
  }

  /** The log behind a driver that delivers claims. */
  get log(): JobLog {
    if (!this.#opened.log)
      throw new Error('a driver that delivers claims is tested with the log that it takes them from')
    return this.#opened.log
  }

  get deliversClaims(): boolean {
    return this.#harness.capabilities.delivers === 'claims'
  }

  async sever(): Promise<void> {
    if (!this.#opened.sever) throw new Error('this driver is under test without sever')
    await this.#opened.sever()
  }

  async publishRaw(message: Uint8Array | string): Promise<void> {
    if (!this.#opened.publishRaw) throw new Error('this driver is under test without publishRaw')
    const bytes = typeof message === 'string' ? new TextEncoder().encode(message) : message
    await this.#opened.publishRaw(this.queue, bytes)
  }

  /** A worker process. If claims are delivered, it has a lease. */
  async worker(queues: readonly QueueName[] = [this.queue]): Promise<WorkerRef> {
    const worker = workerRef()
    if (this.deliversClaims) await this.log.beat(worker, { queues, taking: true, progress: [] })
    return worker
  }

  async subscribe(driver: Driver = this.driver, queue: QueueName = this.queue): Promise<Subscription> {
    const subscription = await driver.subscribe(queue, { worker: await this.worker([queue]) })
    this.#test.onTestFinished(() => subscription.close())
    return subscription
  }

  /** Offers jobs to run: publishes their tickets. If claims are delivered, the jobs are in the log as well. */
  async offer(
    jobs: number | readonly Lane[],
    options: {
      readonly queue?: QueueName
      readonly driver?: Driver
      readonly silent?: boolean
      /** How many tickets a message may carry, if the driver packs. Default 1. */
      readonly perMessage?: number
    } = {},
  ): Promise<Ticket[]> {
    const lanes = typeof jobs === 'number' ? Array.from({ length: jobs }, (): Lane => 'normal') : jobs
    const queue = options.queue ?? this.queue
    const driver = options.driver ?? this.driver
    const tickets = this.deliversClaims
      ? (await this.log.append(lanes.map((lane) => newJob({ queue, lane })))).flatMap((answer) =>
          answer.status === 'added' && answer.ticket ? [answer.ticket] : [],
        )
      : lanes.map((lane) => newTicket({ queue, lane }))
    expect(tickets).toHaveLength(lanes.length)
    if (options.silent) return tickets
    await this.publish(tickets, driver, options.perMessage)
    return tickets
  }

  /**
   * Publishes until the broker has accepted all. If requests fail now and then, the rest is published again, as the
   * relay does.
   */
  async publish(tickets: readonly Ticket[], driver: Driver = this.driver, perMessage = 1): Promise<void> {
    const call = perMessage === 1 ? undefined : { ticketsPerMessage: () => perMessage }
    if (!this.#harness.capabilities.inexact) {
      const report = await driver.publish(tickets, call)
      expect(report.refused).toEqual([])
      expect(listIds(report.accepted)).toEqual(listIds(tickets))
      return
    }
    const open = new Map(tickets.map((ticket) => [ticket.id, ticket]))
    await this.until(async () => {
      const report = await driver.publish([...open.values()], call).catch((error: unknown) => {
        if (!isErrandError(error, 'E_DRIVER')) throw error
      })
      for (const { id } of report?.accepted ?? []) open.delete(id)
      return open.size === 0
    }, 'every ticket is accepted')
  }

  /** Asks for at most `max` deliveries, and waits for the first one. */
  async next(subscription: Subscription, max: number): Promise<readonly Delivery[]> {
    const gone = new AbortController()
    const asked = subscription.next(max, gone.signal)
    let over = false
    const answered = asked.finally(() => {
      over = true
    })
    // The clock goes on while the caller waits for a delivery.
    await this.until(() => over, 'a delivery').catch((error: unknown) => {
      gone.abort()
      throw error
    })
    return answered
  }

  /** Asks repeatedly, `max` at a time, until `count` deliveries have come. It neither acks nor releases them. */
  async collect(subscription: Subscription, count: number, max = 10): Promise<Delivery[]> {
    const deliveries: Delivery[] = []
    while (deliveries.length < count) deliveries.push(...(await this.next(subscription, max)))
    return deliveries
  }

  /** Like `collect`, and acks every delivery. */
  async drain(subscription: Subscription, count: number, max = 10): Promise<Delivery[]> {
    const deliveries: Delivery[] = []
    while (deliveries.length < count) {
      const some = await this.next(subscription, max)
      await Promise.all(some.map((delivery) => delivery.ack()))
      deliveries.push(...some)
    }
    return deliveries
  }

  until<T>(look: () => T | Promise<T>, what?: string): Promise<Exclude<T, undefined | null | false | void>> {
    return until(look, { what, withinMs: 25_000, pause: () => this.#moment() })
  }

  async #moment(): Promise<void> {
    if (this.#opened.advance) await this.#opened.advance(stepMs)
    await realPause(this.#opened.advance ? 0 : stepMs)
  }
}

export function listIds(items: readonly (Ticket | Delivery)[]): string[] {
  return items.map((item) => ('ticket' in item ? item.ticket.id : item.id)).toSorted()
}
