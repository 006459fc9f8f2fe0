/** One in this many grants goes to the lowest lane that waits, so that high lanes cannot starve the low ones. */
export const lowestLaneEvery = 10

/**
 * Decides which lane the next grants go to: one policy for all drivers. Higher lanes go first, and every tenth grant goes to
 * the lowest lane that waits. It counts real grants, per worker and queue.
 */
export class LanePolicy {
  #granted = 0

  /** How many of the next `max` grants go to the lowest lane. */
  fromLowest(max: number): number {
    return Math.floor((this.#granted + max) / lowestLaneEvery) - Math.floor(this.#granted / lowestLaneEvery)
  }

  /** Records how many were granted. */
  granted(count: number): void {
    this.#granted += count
  }
}
