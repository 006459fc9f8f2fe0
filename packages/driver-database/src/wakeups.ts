import { waitFor } from '@errand/core/ports'
import type { Clock, JobLog, Logger, QueueName, Topic, WorkerTrips } from '@errand/core/ports'

export interface WakeupsParts {
  readonly log: JobLog
  readonly trips: WorkerTrips | undefined
  readonly queues: readonly QueueName[]
  readonly logger: Logger
  readonly clock: Clock
  readonly pollMs: number
  readonly signal: AbortSignal
  /** Which queues have been woken. */
  readonly woken: (queues: readonly QueueName[]) => void
}

/** How long the first take waits until the log listens. Then it polls. */
const startMs = 1_000

/** Listens to the wake-ups of some queues. */
export class Wakeups {
  readonly #parts: WakeupsParts
  readonly #waiting = new Set<() => void>()
  readonly #queues: ReadonlyMap<Topic | 'started', QueueName>
  #listened = false

  constructor(parts: WakeupsParts) {
    this.#parts = parts
    this.#queues = new Map(parts.queues.map((queue) => [`queue:${queue}`, queue]))
    const forget = parts.trips?.listen((queue) => {
      if (parts.queues.includes(queue)) this.#wake([queue])
    })
    parts.signal.addEventListener(
      'abort',
      () => {
        forget?.()
        this.#wake([])
      },
      { once: true },
    )
    void this.#listen()
  }

  /** Resolves when the log listens, cannot listen, or takes too long, or when the signal aborts. */
  async started(signal: AbortSignal): Promise<void> {
    if (!this.#listened) await this.#wait(startMs, signal)
    this.#listened = true
  }

  /** Resolves with the next wake-up, after `timeoutMs`, or when a signal aborts. */
  next(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return this.#wait(timeoutMs, signal)
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

  #wake(queues: readonly QueueName[]): void {
    this.#listened = true
    this.#parts.woken(queues)
    for (const finish of this.#waiting) finish()
  }

  /**
   * Goes on until the subscription closes. While the log cannot listen, polling goes on, so this only reports and tries
   * again.
   */
  async #listen(): Promise<void> {
    const { log, queues, logger, clock, pollMs, signal } = this.#parts
    const topics = queues.map((queue): Topic => `queue:${queue}`)
    while (!signal.aborted) {
      try {
        for await (const topic of log.wakeups(topics, signal)) {
          const queue = this.#queues.get(topic)
          // Notifications were lost before it listened again, so the start counts as a wake-up of all.
          this.#wake(queue === undefined ? queues : [queue])
        }
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ err: error, queues }, 'no wake-ups arrive at present; the queues are polled')
      }
      // The first take need not wait if the log cannot listen.
      if (!this.#listened) this.#wake(queues)
      await clock.sleep(pollMs * (0.5 + Math.random()), signal)
    }
  }
}
