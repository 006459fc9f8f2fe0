import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver } from '../ports/driver.ts'
import { backoffMs, jittered } from '../supervise.ts'

export interface RepublishParts {
  readonly driver: Driver
  readonly clock: Clock
  readonly logger: Logger
}

interface Hold {
  readonly untilMs: number
  readonly failures: number
}

/** How long a queue is left alone while the broker still has tickets of it. */
const backlogMs = 10_000
/** After tickets that the broker did not take: doubling. */
const failureMinMs = 1_000
const failureMaxMs = 60_000
/** Tickets that one relay publishes again in a second, at most: where depth is unknown, this alone holds a storm back. */
const mostPerSecond = 1_000

/**
 * Decides which overdue jobs are published once more. A queue whose tickets the broker still has, or does not take, is
 * left alone: its rows are not even touched. Nothing depends on it: workers take overdue jobs from the log.
 */
export class Republish {
  readonly #parts: RepublishParts
  readonly #held = new Map<QueueName, Hold>()
  #windowMs = Number.NEGATIVE_INFINITY
  #inWindow = 0

  constructor(parts: RepublishParts) {
    this.#parts = parts
  }

  /** Whether the next sweep shall list overdue jobs at all. */
  get isOn(): boolean {
    if (this.#parts.driver.capabilities.delivers === 'claims') return false
    const now = this.#parts.clock.monotonicMs()
    if (now - this.#windowMs >= 1_000) {
      this.#windowMs = now
      this.#inWindow = 0
    }
    return this.#inWindow < mostPerSecond
  }

  /** Queues that are left alone at present. */
  get skipQueues(): readonly QueueName[] {
    const now = this.#parts.clock.monotonicMs()
    return [...this.#held].filter(([, { untilMs }]) => untilMs > now).map(([queue]) => queue)
  }

  /** Of the tickets of a sweep, those that are worth publishing; the queues of the others are held back. */
  async allowed(tickets: readonly Ticket[]): Promise<readonly Ticket[]> {
    this.#inWindow += tickets.length
    const queues = [...new Set(tickets.map((ticket) => ticket.queue))]
    const free = await Promise.all(
      queues.map(async (queue) => ((await this.#hasBacklog(queue)) ? [] : [queue])),
    )
    const publish = new Set(free.flat())
    return tickets.filter((ticket) => publish.has(ticket.queue))
  }

  /** What became of the tickets: a queue with one that was not accepted is held back, longer each time. */
  published(tickets: readonly Ticket[], accepted: ReadonlySet<string>): void {
    const { clock } = this.#parts
    for (const queue of new Set(tickets.map((ticket) => ticket.queue))) {
      if (tickets.every((ticket) => ticket.queue !== queue || accepted.has(ticket.id))) {
        this.#held.delete(queue)
        continue
      }
      const failures = (this.#held.get(queue)?.failures ?? 0) + 1
      const untilMs = clock.monotonicMs() + backoffMs(failures, failureMinMs, failureMaxMs)
      this.#held.set(queue, { untilMs, failures })
    }
  }

  async #hasBacklog(queue: QueueName): Promise<boolean> {
    const { driver, clock, logger } = this.#parts
    if (driver.capabilities.depth === 'unknown') return false
    try {
      // Undefined: the broker cannot say. The rate cap is then all that holds back.
      if (((await driver.depth(queue)) ?? 0) === 0) return false
    } catch (error) {
      logger.debug(
        { err: error, queue },
        'the depth of a queue could not be read; nothing is published again',
      )
    }
    const failures = this.#held.get(queue)?.failures ?? 0
    this.#held.set(queue, { untilMs: clock.monotonicMs() + jittered(backlogMs), failures })
    return true
  }
}
