/** Every so many grants, one goes to the lowest lane that waits, so that high lanes without end cannot starve the low ones. */
export const lowestLaneEvery = 10

/**
 * Which lane the next grants go to: one policy for all drivers. Higher lanes first, and every tenth grant to the
 * lowest lane that waits. Counted per worker and queue, over what was really granted.
 */
export class LanePolicy {
  #granted = 0

  /** How many of the next `max` grants go to the lowest lane. */
  fromLowest(max: number): number {
    return Math.floor((this.#granted + max) / lowestLaneEvery) - Math.floor(this.#granted / lowestLaneEvery)
  }

  /** So many were granted. */
  granted(count: number): void {
    this.#granted += count
  }
}
