import type { Message } from '@aws-sdk/client-sqs'
import type { Clock, ErrandError } from '@errand/core/ports'
import { driverError, sqsErrors } from './errors.ts'
import type { LaneQueue } from './lane-queue.ts'

/** One receive that is under way. */
export interface Poll {
  readonly asked: number
  readonly openedMs: number
  /** 0: SQS answers at once. */
  readonly waitSeconds: number
}

export interface PollOutcome {
  readonly messages: readonly Message[]
  readonly error?: ErrandError
}

/** The longest wait that SQS allows: three requests a minute. */
const longPollSeconds = 20
const mostPolls = 16
/** A long poll that ends empty before this did not wait: emulators wake all polls for one message. */
const earlyMs = 1_000
const firstPauseMs = 10
/** A poll that has waited for so long has found nothing: lower lanes wait for it no more. */
const settledMs = 100
/** One that does not wait is answered in a few milliseconds. This long at most lower lanes wait for it. */
const answeredMs = 1_000

/**
 * The polls of one lane, and what they told. A lane that *flows* has tickets waiting: its last poll came back at least
 * half full. One that does not is *listened* to, with one long poll; the very first one does not wait, so that lower
 * lanes know whether they come first.
 */
export class LanePolls {
  readonly queue: LaneQueue
  readonly #open = new Set<Poll>()
  #flows = false
  #known = false
  /** How many polls may be open at once: doubles with each full one. */
  #width = 1
  #early = 0
  #notBeforeMs = 0
  #error: ErrandError | undefined

  constructor(queue: LaneQueue) {
    this.queue = queue
  }

  /** Has tickets, and answers: a poll that hangs must not hold up the lanes below. */
  flows(nowMs: number): boolean {
    return this.#flows && this.#short.every(({ openedMs }) => nowMs - openedMs < answeredMs)
  }

  /** Somebody is waiting for its next ticket, or about to learn whether there is one. */
  get isListening(): boolean {
    return [...this.#open].some(({ waitSeconds }) => !this.#known || waitSeconds === longPollSeconds)
  }

  /** How long a poll waits that listens. */
  get listenSeconds(): number {
    return this.#known ? longPollSeconds : 0
  }

  /** Failed, and not being asked, or asked in vain until a person has helped. */
  get isDown(): boolean {
    return this.#error !== undefined && (this.#open.size === 0 || sqsErrors.isFinal(this.#error))
  }

  /** How many polls more may be opened now. */
  get room(): number {
    return Math.max(0, this.#width - this.#short.length)
  }

  /** Tickets that the polls under way may bring at once; one that listens promises nothing. */
  get asked(): number {
    return this.#short.reduce((sum, { asked }) => sum + asked, 0)
  }

  get #short(): readonly Poll[] {
    return [...this.#open].filter(({ waitSeconds }) => waitSeconds === 0)
  }

  /** Until then its polls may still bring what goes before the tickets of lower lanes. */
  get settlesAtMs(): number {
    return Math.max(
      0,
      ...[...this.#open].map(
        ({ openedMs, waitSeconds }) => openedMs + (waitSeconds === 0 ? answeredMs : settledMs),
      ),
    )
  }

  /** So long it must not be asked: after failures, and where long polls come back empty without having waited. */
  remainingMs(nowMs: number): number {
    return Math.max(this.queue.backoff.remainingMs(nowMs), this.#notBeforeMs - nowMs)
  }

  /** Opens a poll. Never rejects: its failure is a part of the outcome. */
  async poll(asked: number, waitSeconds: number, clock: Clock, signal: AbortSignal): Promise<PollOutcome> {
    const poll: Poll = { asked, openedMs: clock.monotonicMs(), waitSeconds }
    // Until it answers nothing is known to wait.
    if (waitSeconds === longPollSeconds) this.#flows = false
    this.#open.add(poll)
    try {
      const messages = await this.queue.receive({ max: asked, waitSeconds, signal })
      this.#succeeded(poll, messages.length, clock.monotonicMs())
      return { messages }
    } catch (thrown) {
      const error = driverError(`receiving tickets from the SQS queue ${this.queue.name}`, thrown)
      if (!signal.aborted) this.#failed(error)
      return { messages: [], error }
    } finally {
      this.#open.delete(poll)
    }
  }

  #succeeded({ asked, waitSeconds, openedMs }: Poll, received: number, nowMs: number): void {
    const long = waitSeconds === longPollSeconds
    this.#known = true
    this.#error = undefined
    this.#early = long && received === 0 && nowMs - openedMs < earlyMs ? this.#early + 1 : 0
    // Once is chance; whoever does it again and again is asked once a second.
    if (this.#early > 1) this.#notBeforeMs = nowMs + Math.min(earlyMs, firstPauseMs * 2 ** (this.#early - 2))
    this.queue.backoff.succeeded()
    this.queue.news.over()
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
