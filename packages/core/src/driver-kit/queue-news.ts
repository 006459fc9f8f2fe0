import { toFailure } from '../failure/to-failure.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Topic } from '../ports/job-log.ts'

export interface QueueNewsOptions {
  readonly wakeups: (signal: AbortSignal) => AsyncIterable<Topic | 'started'>
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly logger: Logger
  /** The queue may have ready jobs. */
  readonly woken: () => void
  /** `isHeard` has changed. */
  readonly changed: () => void
}

/** How long nothing is polled at the start, until the log listens. */
const startMs = 1_000
/** How long to wait before the log is asked again to listen. */
const againMs = 2_000

/** Learns from the log when a queue may have ready jobs, and whether the log can tell at present. */
export class QueueNews {
  readonly #options: QueueNewsOptions
  #isHeard: boolean | undefined

  constructor(options: QueueNewsOptions) {
    this.#options = options
    const stop = options.clock.after(startMs, () => this.#isHeard === undefined && this.#set(false))
    options.signal.addEventListener('abort', stop)
    // Not before it is known to its owner.
    void Promise.resolve().then(() => this.#listen())
  }

  /** False: all lanes must be polled. Undefined until that is known. */
  get isHeard(): boolean | undefined {
    return this.#isHeard
  }

  #set(isHeard: boolean): void {
    if (this.#isHeard === isHeard || this.#options.signal.aborted) return
    this.#isHeard = isHeard
    this.#options.changed()
  }

  async #listen(): Promise<void> {
    const { wakeups, signal, clock, logger, woken } = this.#options
    while (!signal.aborted) {
      try {
        for await (const _ of wakeups(signal)) {
          this.#set(true)
          // Also for the start: wake-ups before it were lost.
          woken()
        }
      } catch (error) {
        logger.debug({ error: toFailure(error) }, 'no wake-ups arrive at present; all lanes are polled')
      }
      this.#set(false)
      await clock.sleep(againMs, signal)
    }
  }
}
