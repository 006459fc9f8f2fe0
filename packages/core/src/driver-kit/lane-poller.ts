import { isErrandError } from '../errors.ts'
import type { ErrandError } from '../errors.ts'
import { News } from '../news.ts'
import type { Clock } from '../ports/clock.ts'
import { Backoff } from './backoff.ts'
import { driverError, readMessage } from './errors.ts'
import type { ErrorTable } from './errors.ts'
import { MessageSize } from './message-size.ts'
import type { LaneSource, SourceMessage } from './message-source.ts'

/** One receive that is under way. */
export interface Poll {
  /** Messages, of one ticket or several. */
  readonly asked: number
  readonly openedMs: number
  /** 0: the broker answers at once. */
  readonly waitMs: number
  /** How long lower lanes wait for what it may bring. */
  readonly heldMs: number
}

export interface PollOutcome {
  readonly messages: readonly SourceMessage[]
  readonly error?: ErrandError
}

export interface LanePollerOptions {
  readonly source: LaneSource
  readonly clock: Clock
  /** How long a listening poll waits. */
  readonly longestWaitMs: number
  readonly errors: Pick<ErrorTable<string>, 'isCommon' | 'isFinal'>
}

/** Outlives a subscription, so that a caller who subscribes in a loop does not ask the broker in a tight loop. */
interface Memory {
  readonly backoff: Backoff
  /** What was logged about it. */
  readonly news: News
}
const memories = new WeakMap<LaneSource, Memory>()

const mostPolls = 16
/** A long poll that ends empty before this did not wait: emulators wake all polls for one message. */
const earlyMs = 1_000
const firstPauseMs = 10
/** A long poll that has waited this long has found nothing: lower lanes stop waiting for it. */
const settledMs = 100
/** A poll without a wait is answered in a few milliseconds. Lower lanes wait for it at most this long. */
export const answeredMs = 1_000
/** The weight of one poll. */
const weight = 0.5

/**
 * The polls of one lane, and what they have shown. A lane *flows* if tickets wait in it: its last poll came back at least
 * half full. If it does not flow, one long poll *listens* to it. The very first poll does not wait, so that lower lanes
 * know soon whether they come first.
 */
export class LanePoller {
  readonly source: LaneSource
  readonly backoff: Backoff
  readonly news: News
  readonly #options: LanePollerOptions
  readonly #open = new Set<Poll>()
  #flows = false
  #known = false
  /** How many polls may be open at once: doubles with each full one. */
  #width = 1
  readonly size: MessageSize = new MessageSize(weight)
  #early = 0
  #notBeforeMs = 0
  #error: ErrandError | undefined
  /** Since when tickets have been expected. */
  #expectedMs: number | undefined
  #isWoken = false

  constructor(options: LanePollerOptions) {
    const { source, clock } = options
    const { backoff, news } = memories.get(source) ?? { backoff: new Backoff(), news: new News(clock) }
    memories.set(source, { backoff, news })
    this.source = source
    this.backoff = backoff
    this.news = news
    this.#options = options
  }

  /** True if it has tickets and answers: a poll that hangs must not delay the lanes below. */
  flows(nowMs: number): boolean {
    return this.#flows && this.#short.every(({ openedMs }) => nowMs - openedMs < answeredMs)
  }

  /** True if a poll waits for its next ticket, or will soon show whether there is one. */
  get isListening(): boolean {
    return [...this.#open].some(({ waitMs }) => !this.#known || waitMs > 0)
  }

  /**
   * True if it must be listened to at once: it was never asked, or tickets are expected. They are after a wake-up and after
   * each ticket, until a poll that began later has waited for nothing.
   */
  get isUrgent(): boolean {
    return !this.#known || this.#expectedMs !== undefined
  }

  /** The queue was woken. */
  wake(): void {
    // The first poll is still to come.
    if (!this.#known) return
    this.#expectedMs = this.#options.clock.monotonicMs()
    this.#isWoken = true
  }

  /** How long a listening poll waits. */
  get listenMs(): number {
    return this.#known ? this.#options.longestWaitMs : 0
  }

  /** True if it has failed and is not being asked, or if only a person can help. */
  get isDown(): boolean {
    return this.#error !== undefined && (this.#open.size === 0 || this.#options.errors.isFinal(this.#error))
  }

  /** How many more polls may be opened now. */
  get room(): number {
    return Math.max(0, this.#width - this.#short.length)
  }

  /** How many tickets the polls under way may bring soon. A listening poll promises none. */
  get asked(): number {
    return this.size.ticketsIn(this.#short.reduce((sum, { asked }) => sum + asked, 0))
  }

  get #short(): readonly Poll[] {
    return [...this.#open].filter(({ waitMs }) => waitMs === 0)
  }

  /** Until then its polls may still bring tickets that go before those of lower lanes. */
  get settlesAtMs(): number {
    return Math.max(0, ...[...this.#open].map(({ openedMs, heldMs }) => openedMs + heldMs))
  }

  /** How long it must not be asked: after failures, and if long polls come back empty without having waited. */
  remainingMs(nowMs: number): number {
    return Math.max(this.backoff.remainingMs(nowMs), this.#notBeforeMs - nowMs)
  }

  /** Opens a poll. Never rejects: its failure is a part of the outcome. */
  async poll(asked: number, waitMs: number, signal: AbortSignal): Promise<PollOutcome> {
    const { clock, source } = this.#options
    // After a wake-up all lanes are polled, and which one has the ticket is unknown. It must not wait for the others.
    const heldMs = waitMs === 0 ? answeredMs : this.#isWoken ? 0 : settledMs
    this.#isWoken = false
    const poll: Poll = { asked, openedMs: clock.monotonicMs(), waitMs, heldMs }
    // Until it answers, no ticket is known to wait.
    if (waitMs > 0) this.#flows = false
    this.#open.add(poll)
    try {
      const messages = await source.receive(asked, waitMs, signal)
      this.#succeeded(poll, messages.length, clock.monotonicMs())
      return { messages }
    } catch (thrown) {
      const error = isErrandError(thrown)
        ? thrown
        : driverError(`receiving tickets from ${source.name} failed: ${readMessage(thrown)}`, thrown)
      if (!signal.aborted) this.#failed(error)
      return { messages: [], error }
    } finally {
      this.#open.delete(poll)
    }
  }

  #succeeded({ asked, waitMs, openedMs }: Poll, received: number, nowMs: number): void {
    const long = waitMs > 0
    this.#known = true
    this.#error = undefined
    const isEarly = long && received === 0 && nowMs - openedMs < earlyMs
    this.#early = isEarly ? this.#early + 1 : 0
    if (received > 0) this.#expectedMs = nowMs
    else if (long && !isEarly && this.#expectedMs !== undefined && openedMs >= this.#expectedMs)
      this.#expectedMs = undefined
    // Once may be chance. A source that does it again and again is asked once a second.
    if (this.#early > 1) this.#notBeforeMs = nowMs + Math.min(earlyMs, firstPauseMs * 2 ** (this.#early - 2))
    this.backoff.succeeded()
    this.news.over()
    this.#flows = received * 2 >= asked
    if (received === asked) this.#width = Math.min(mostPolls, this.#width * 2)
    else if (!this.#flows) this.#width = 1
  }

  #failed(error: ErrandError): void {
    this.#error = error
    this.#flows = false
    this.#width = 1
  }
}
