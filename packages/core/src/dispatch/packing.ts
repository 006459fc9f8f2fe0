import { workerDefaults } from '../config/defaults.ts'
import { inTime } from '../in-time.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { CallOptions, Driver } from '../ports/driver.ts'
import type { JobLog, ServedQueue } from '../ports/job-log.ts'

export interface PackingParts {
  readonly driver: Pick<Driver, 'capabilities'>
  readonly log: Pick<JobLog, 'served'>
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * The most tickets in one message. More would save little, because a job's statements then cost far more than its share of
 * a message. And a worker that takes only a part of a message would hand back more.
 */
export const mostTicketsPerMessage = 20
/** A message has at most this many times the tickets that the worker with the fewest slots takes at a time. */
const roundsPerMessage = 2
/** How old the answer may be. If a worker of an older build starts within this time, workers get some jobs from the log. */
const askEveryMs = 5_000
/** How long the first tickets wait for the first answer. */
const firstAnswerMs = 250

type TicketsPerMessage = NonNullable<CallOptions['ticketsPerMessage']>

/**
 * How many tickets a message may carry. The log knows the live workers: a message has at most twice what one worker takes at
 * a time, and there is a message for each worker. While a worker is alive that reads only single tickets, each ticket gets
 * its own message. It asks the log in the background of a publish of several tickets, at most every five seconds, and never
 * for a driver that does not pack.
 */
export class Packing {
  readonly #parts: PackingParts
  #served: ReadonlyMap<QueueName, ServedQueue> | undefined
  #askedMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(parts: PackingParts) {
    this.#parts = parts
  }

  /** Undefined: one ticket for each message. A promise only before the first answer. */
  rule(tickets: readonly Ticket[]): TicketsPerMessage | undefined | Promise<TicketsPerMessage | undefined> {
    const { driver, clock } = this.#parts
    if (driver.capabilities.packs !== true || tickets.length < 2) return undefined
    this.#ask()
    if (this.#served || !this.#asking) return this.#rule
    return inTime(this.#asking, firstAnswerMs, clock, () => undefined).then(() => this.#rule)
  }

  get #rule(): TicketsPerMessage | undefined {
    const served = this.#served
    return served && ((queue, count) => ticketsPerMessage(served.get(queue), count))
  }

  #ask(): void {
    const { clock } = this.#parts
    if (this.#asking || clock.monotonicMs() - this.#askedMs < askEveryMs) return
    this.#askedMs = clock.monotonicMs()
    this.#asking = this.#learn().finally(() => {
      this.#asking = undefined
    })
  }

  /** Never rejects. */
  async #learn(): Promise<void> {
    const { log, logger } = this.#parts
    try {
      const served = await log.served()
      this.#served = new Map(served.map((each) => [each.queue, each]))
    } catch (error) {
      this.#served = undefined
      logger.debug({ err: error }, 'it is unknown who takes tickets: each one has a message of its own')
    }
  }
}

function ticketsPerMessage(served: ServedQueue | undefined, count: number): number {
  // If no worker serves the queue yet, it assumes one with the default concurrency.
  const { workers, slots } = served ?? { workers: 1, slots: workerDefaults.concurrency }
  if (slots === undefined) return 1
  return Math.max(1, Math.min(mostTicketsPerMessage, roundsPerMessage * slots, Math.ceil(count / workers)))
}
