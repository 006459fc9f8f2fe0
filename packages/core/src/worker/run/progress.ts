import { workerDefaults } from '../../config/defaults.ts'
import type { Fence } from '../../job/claim.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Progress } from '../../ports/job-log.ts'
import type { Beats } from './beats.ts'
import { toKey } from './runs.ts'

/** How long an outcome waits for earlier progress. A log that answers no beat records no outcome either. */
const lastReportMs = 5_000

/**
 * Sends progress with the beats: the first report after a pause at once, then the newest one of each run every second,
 * and the last one of a run before it ends.
 */
export class ProgressReports {
  readonly #beats: Beats
  readonly #clock: Clock
  #sentMs = Number.NEGATIVE_INFINITY
  #waiting = false
  #number = 0
  /** By run: the number of its newest report, until the log knows it. */
  readonly #untold = new Map<string, number>()
  readonly #listeners = new Set<(upTo: number) => void>()

  constructor(beats: Beats, clock: Clock) {
    this.#beats = beats
    this.#clock = clock
  }

  add(progress: Progress): void {
    this.#number += 1
    this.#untold.set(toKey(progress), this.#number)
    this.#beats.progress(progress, this.#number)
    if (this.#waiting) return
    this.#waiting = true
    const waitMs = this.#sentMs + workerDefaults.progressEveryMs - this.#clock.monotonicMs()
    this.#clock.after(Math.max(0, waitMs), () => this.#send())
  }

  /** Call it when a beat was answered: the log knows all reports up to this number. */
  told(upTo: number): void {
    for (const [key, number] of this.#untold) if (number <= upTo) this.#untold.delete(key)
    for (const listener of this.#listeners) listener(upTo)
  }

  /** The log does not know the newest report of this run yet. */
  isUntold(run: Fence): boolean {
    return this.#untold.size > 0 && this.#untold.has(toKey(run))
  }

  /** Sends the newest report now. Resolves when the log knows it, or after 5 s without an answer. Never rejects. */
  async tell(run: Fence): Promise<void> {
    const key = toKey(run)
    const number = this.#untold.get(key)
    if (number === undefined) return
    const known = new AbortController()
    const listener = (upTo: number): void => {
      if (upTo >= number) known.abort()
    }
    this.#listeners.add(listener)
    this.#beats.beatNow()
    await this.#clock.sleep(lastReportMs, known.signal)
    this.#listeners.delete(listener)
    this.#untold.delete(key)
  }

  #send(): void {
    this.#waiting = false
    this.#sentMs = this.#clock.monotonicMs()
    this.#beats.beatNow()
  }
}
