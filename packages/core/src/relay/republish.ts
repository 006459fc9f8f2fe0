import { inTime } from '../in-time.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver } from '../ports/driver.ts'
import { backoffMs, jittered } from '../supervise.ts'
import { SuspectQueues } from './suspect-queues.ts'

export interface RepublishParts {
  readonly driver: Driver
  readonly clock: Clock
  readonly logger: Logger
  /** The queues that this process serves. */
  readonly queues: readonly QueueName[]
  /** Those of them whose subscriptions deliver nothing at present. This process takes their overdue jobs from the log. */
  readonly quiet: () => readonly QueueName[]
}

interface Known {
  /** The queue is left alone until then. */
  heldUntilMs: number
  /** The depth was read, and need not be read again before this time. */
  readAgainMs: number
  /** How many publishes in a row the broker did not accept completely. */
  failures: number
  /** Readings of its depth that are under way. */
  reads: number
  /** The last reading failed. */
  unread: boolean
}

/** About how often the depth of a queue is read. */
const depthEveryMs = 10_000
/** How long a sweep waits for these readings. A queue whose reading takes longer is left alone. */
const longestReadMs = 1_000
/** How long a queue is left alone after the broker did not accept tickets. It doubles. */
const failureMinMs = 5_000
const failureMaxMs = 60_000
/** At most this many tickets are published again in a second by one relay. If the depth is unknown, this is the only limit. */
const mostPerSecond = 1_000

/**
 * Decides which overdue jobs are published again. If the broker still has tickets of a queue, or does not accept them, the
 * queue is left alone. Its rows are not touched, so its jobs stay overdue and workers can take them from the log.
 */
export class Republish {
  readonly #parts: RepublishParts
  readonly #known = new Map<QueueName, Known>()
  readonly #suspects: SuspectQueues
  #windowMs = Number.NEGATIVE_INFINITY
  #inWindow = 0

  constructor(parts: RepublishParts) {
    this.#parts = parts
    this.#suspects = new SuspectQueues(parts.queues)
  }

  /** Whether the next sweep lists overdue jobs at all. */
  get isOn(): boolean {
    return this.#parts.driver.capabilities.delivers === 'tickets' && !this.isExhausted
  }

  /** True if the limit for this second is used up. */
  get isExhausted(): boolean {
    const now = this.#parts.clock.monotonicMs()
    if (now - this.#windowMs >= 1_000) {
      this.#windowMs = now
      this.#inWindow = 0
    }
    return this.#inWindow >= mostPerSecond
  }

  /** Queues whose tickets may be gone: the grace of their jobs must start over. */
  get inDoubt(): readonly QueueName[] {
    // A driver without tickets keeps the suspicion, in case the system moves to another driver.
    return this.#parts.driver.capabilities.delivers === 'claims' ? [] : this.#suspects.queues
  }

  /** The grace of the jobs of these queues has started over. */
  expedited(queues: readonly QueueName[]): void {
    this.#suspects.settled(queues)
  }

  /** The broker was away and serves this queue again, perhaps without its tickets. */
  returned(queue: QueueName): void {
    this.#suspects.returned(queue)
  }

  /** Queues that the next sweep must leave alone. */
  async skipQueues(): Promise<readonly QueueName[]> {
    if (!this.isOn) return []
    const { driver, queues } = this.#parts
    // If reading the depth is a request that costs money, only queues with overdue jobs are read.
    if (driver.capabilities.depth === 'exact') for (const queue of queues) this.#of(queue)
    const now = this.#parts.clock.monotonicMs()
    const due = [...this.#known].filter(
      ([, { heldUntilMs, readAgainMs }]) => Math.max(heldUntilMs, readAgainMs) <= now,
    )
    // A broker that does not answer must not delay the sweeps: without them the log calls nothing lost.
    const reading = Promise.all(due.map(([queue]) => this.#hasBacklog(queue)))
    await inTime(reading, longestReadMs, this.#parts.clock, () => undefined)
    const held = [...this.#known]
      .filter(([, { heldUntilMs, reads }]) => heldUntilMs > now || reads > 0)
      .map(([queue]) => queue)
    return [...new Set([...held, ...this.#parts.quiet()])]
  }

  /** The tickets of a sweep that should be published. */
  async allowed(tickets: readonly Ticket[]): Promise<readonly Ticket[]> {
    this.#inWindow += tickets.length
    const queues = [...new Set(tickets.map((ticket) => ticket.queue))]
    const free = await Promise.all(
      queues.map(async (queue) => ((await this.#hasBacklog(queue)) ? [] : [queue])),
    )
    const publish = new Set(free.flat())
    return tickets.filter((ticket) => publish.has(ticket.queue))
  }

  /**
   * Takes the broker's report. If it did not accept a ticket, the queue is left alone, and longer each time that it
   * accepts none at all. A ticket that is never accepted must not delay the others of its queue for long.
   */
  published(tickets: readonly Ticket[], accepted: ReadonlySet<string>): void {
    for (const [queue, ofQueue] of Map.groupBy(tickets, (ticket) => ticket.queue)) {
      const known = this.#of(queue)
      const all = ofQueue.every(({ id }) => accepted.has(id))
      const some = ofQueue.some(({ id }) => accepted.has(id))
      if (all && known.failures > 0) this.returned(queue)
      known.failures = all ? 0 : some ? 1 : known.failures + 1
      if (all) continue
      const waitMs = backoffMs(known.failures, failureMinMs, failureMaxMs)
      known.heldUntilMs = this.#parts.clock.monotonicMs() + waitMs
    }
  }

  /** If a reading costs money, an empty queue is not read again before it has overdue jobs. */
  #forget(queue: QueueName): void {
    if (this.#parts.driver.capabilities.depth !== 'exact') this.#known.delete(queue)
  }

  #of(queue: QueueName): Known {
    const known = this.#known.get(queue) ?? {
      heldUntilMs: 0,
      readAgainMs: 0,
      failures: 0,
      reads: 0,
      unread: false,
    }
    this.#known.set(queue, known)
    return known
  }

  /** Reads the depth. If the broker has tickets of the queue, or does not answer, the queue is not published again. */
  async #hasBacklog(queue: QueueName): Promise<boolean> {
    const { clock } = this.#parts
    const known = this.#of(queue)
    const againMs = clock.monotonicMs() + jittered(depthEveryMs)
    known.readAgainMs = againMs
    known.reads += 1
    const backlog = await this.#readsBacklog(queue, known)
    known.reads -= 1
    if (backlog) known.heldUntilMs = againMs
    return backlog
  }

  async #readsBacklog(queue: QueueName, known: Known): Promise<boolean> {
    const { driver, clock, logger } = this.#parts
    if (driver.capabilities.depth === 'unknown') return false
    try {
      const depth = await driver.depth(queue)
      if (known.unread) this.returned(queue)
      known.unread = false
      if (depth === 0 && this.#suspects.empty(queue, clock.monotonicMs())) this.#forget(queue)
      // Undefined: the broker cannot say. Then the rate is the only limit.
      return (depth ?? 0) > 0
    } catch (error) {
      known.unread = true
      logger.debug(
        { err: error, queue },
        'the depth of a queue could not be read; nothing is published again',
      )
      return true
    }
  }
}
