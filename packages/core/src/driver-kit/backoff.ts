import { backoffMs } from '../supervise.ts'

const firstMs = 100
/** Everything is back within ten seconds of a fault's end, with the pauses of core. */
const longestMs = 5_000

/**
 * When something may be asked again after failures: in 100 ms, doubling to 5 s, half of it chance. Keep it as long as the
 * driver lives, so that a new subscription does not start over: a caller in a loop must not ask a failing broker in one.
 */
export class Backoff {
  #failures = 0
  #notBeforeMs = 0

  /**
   * Failures before the wait is over were asked for together with the first one: they count once.
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

  /** 0 when it may be asked now. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#notBeforeMs - nowMs)
  }
}
