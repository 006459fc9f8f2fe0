import { waitFor } from '@errand/core/ports'
import type { Clock, JobLog, Logger, Topic } from '@errand/core/ports'

export interface WakeupsParts {
  readonly log: JobLog
  readonly topic: Topic
  readonly logger: Logger
  readonly clock: Clock
  readonly pollMs: number
  readonly signal: AbortSignal
}

/** How long the first take waits for the listening to begin; then it polls. */
const startMs = 1_000

/** Counts the wake-ups of one queue, so that one that comes during a take is not missed. */
export class Wakeups {
  readonly #parts: WakeupsParts
  readonly #waiting = new Set<() => void>()
  #listened = false
  #count = 0

  constructor(parts: WakeupsParts) {
    this.#parts = parts
    parts.signal.addEventListener('abort', () => this.#wake(), { once: true })
    void this.#listen()
  }

  get count(): number {
    return this.#count
  }

  /** Resolves when the log listens, cannot, or takes too long; or when the signal aborts. */
  async started(signal: AbortSignal): Promise<void> {
    if (!this.#listened) await this.#wait(startMs, signal)
    this.#listened = true
  }

  /** Resolves with the first wake-up after the count given, after `timeoutMs`, or when a signal aborts. */
  async next(since: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#count === since) await this.#wait(timeoutMs, signal)
  }

  async #wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#parts.signal.aborted) return
    await waitFor<void>(signal, undefined, (wake) => {
      const cancel = this.#parts.clock.after(timeoutMs, wake)
      this.#waiting.add(wake)
      return () => {
        cancel()
        this.#waiting.delete(wake)
      }
    })
  }

  #wake(): void {
    this.#listened = true
    // What happened before the listening began anew was not heard: that it begins counts as well.
    this.#count += 1
    for (const finish of this.#waiting) finish()
  }

  /** Until the subscription closes. While the log cannot be listened to, polling goes on; so this only tells and tries again. */
  async #listen(): Promise<void> {
    const { log, topic, logger, clock, pollMs, signal } = this.#parts
    while (!signal.aborted) {
      try {
        for await (const _ of log.wakeups([topic], signal)) this.#wake()
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ err: error, topic }, 'no wake-ups arrive at present; the queue is polled')
      }
      // The first take need not wait for a listening that does not come.
      if (!this.#listened) this.#wake()
      await clock.sleep(pollMs * (0.5 + Math.random()), signal)
    }
  }
}
