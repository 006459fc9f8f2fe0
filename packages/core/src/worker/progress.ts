import { workerDefaults } from '../config/defaults.ts'
import type { Clock } from '../ports/clock.ts'
import type { Progress } from '../ports/job-log.ts'
import type { Heartbeat } from './heartbeat.ts'

/** Sends progress with the beats: the first report of a while at once, then the newest one of each run every second. */
export class ProgressReports {
  readonly #heartbeat: Heartbeat
  readonly #clock: Clock
  #sentMs = Number.NEGATIVE_INFINITY
  #waiting = false

  constructor(heartbeat: Heartbeat, clock: Clock) {
    this.#heartbeat = heartbeat
    this.#clock = clock
  }

  add(progress: Progress): void {
    this.#heartbeat.progress(progress)
    if (this.#waiting) return
    this.#waiting = true
    const waitMs = this.#sentMs + workerDefaults.progressEveryMs - this.#clock.monotonicMs()
    this.#clock.after(Math.max(0, waitMs), () => this.#send())
  }

  #send(): void {
    this.#waiting = false
    this.#sentMs = this.#clock.monotonicMs()
    this.#heartbeat.beatNow()
  }
}
