import { backoffMs } from '../supervise.ts'

const firstMs = 100
/** Together with core's own pauses, everything works again within ten seconds of a fault's end. */
const longestMs = 5_000

/**
 * Says when a broker may be asked again after failures: after 100 ms, doubling to 5 s; half of each pause is random. Keep it
 * as long as the driver lives. If each new subscription started over, a caller in a loop would ask a failing broker in a
 * tight loop.
 */
export class Backoff {
  #failures = 0
  #notBeforeMs = 0

  /**
   * Failures that arrive before the wait is over count as one: they were asked for together with the first one.
   * @param random a number from 0 to 1.
   * @returns how long to wait from now on.
   */
  failed(nowMs: number, random: () => number = Math.random): number {
    if (nowMs < this.#notBeforeMs) return Math.round(this.#notBeforeMs - nowMs)
    this.#failures += 1
    const waitMs = backoffMs(this.#failures, firstMs, longestMs, random)
    this.#notBeforeMs = nowMs + waitMs
    return Math.round(waitMs)
  }

  succeeded(): void {
    this.#failures = 0
    this.#notBeforeMs = 0
  }

  /** 0: it may be asked now. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#notBeforeMs - nowMs)
  }
}
