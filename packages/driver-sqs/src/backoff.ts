const firstMs = 100
/** Everything is back within ten seconds of a fault's end, with the pauses of core. */
const longestMs = 5_000

/**
 * When a lane may be asked again after failures: 100 ms, doubling to 5 s, half of it chance. Kept per SQS queue for as
 * long as the driver lives, so that subscribing again does not start over: whoever calls in a loop, a failing endpoint
 * is not asked in one.
 */
export class Backoff {
  #failures = 0
  #notBeforeMs = 0

  /**
   * What fails while the lane is being left alone was asked before, together with what failed first: it is the same
   * trouble, and counts once.
   * @param random a number from 0 to 1.
   * @returns how long the lane is left alone from now on.
   */
  failed(nowMs: number, random: () => number = Math.random): number {
    if (nowMs < this.#notBeforeMs) return Math.round(this.#notBeforeMs - nowMs)
    const waitMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 20)) * (0.5 + random() / 2)
    this.#failures += 1
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
