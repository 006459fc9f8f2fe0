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

/** How long the first take waits until the log listens. Then it polls. */
const startMs = 1_000

/** Counts the wake-ups of one queue, so that one during a take is not missed. */
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

  /** Resolves when the log listens, cannot listen, or takes too long, or when the signal aborts. */
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
    // Notifications were lost before it listened again, so the start counts as a wake-up.
    this.#count += 1
    for (const finish of this.#waiting) finish()
  }

  /**
   * Goes on until the subscription closes. While the log cannot listen, polling goes on, so this only reports and tries
   * again.
   */
  async #listen(): Promise<void> {
    const { log, topic, logger, clock, pollMs, signal } = this.#parts
    while (!signal.aborted) {
      try {
        for await (const _ of log.wakeups([topic], signal)) this.#wake()
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ err: error, topic }, 'no wake-ups arrive at present; the queue is polled')
      }
      // The first take need not wait if the log cannot listen.
      if (!this.#listened) this.#wake()
      await clock.sleep(pollMs * (0.5 + Math.random()), signal)
    }
  }
}
