import { laneRank } from './lane.ts'
import type { Lane } from './lane.ts'

/** One in this many grants goes to the lowest lane that waits, so that high lanes cannot starve the low ones. */
export const lowestLaneEvery = 10

/**
 * Decides which lane the next grants go to: one policy for all drivers. Higher lanes go first, and every tenth grant goes to
 * the lowest lane that waits. It counts real grants, per worker and queue. If the tickets of that lane are still on their
 * way when its turn comes, it has its turn later, but before the next one.
 */
export class LanePolicy {
  #granted = 0
  /** The rank of the lowest lane that had tickets. */
  #lowest = 0
  /** Grants that were its turn, and went to higher lanes. */
  #owed = 0

  /** How many of the next `max` grants go to the lowest lane. */
  fromLowest(max: number): number {
    return Math.min(max, this.#due(max) + this.#owed)
  }

  /** Records what was granted. @param lanes of the grants, where tickets may be on their way. */
  granted(count: number, lanes: readonly Lane[] = []): void {
    const due = this.#due(count)
    this.#granted += count
    if (lanes.length > 0) this.#settleTurns(due, lanes)
  }

  /** Records whether the turns that were due went to the lowest lane. */
  #settleTurns(due: number, lanes: readonly Lane[]): void {
    const ranks = lanes.map((lane) => laneRank[lane])
    const lowest = Math.max(...ranks)
    const isMissing = lowest < this.#lowest
    if (!isMissing) {
      const got = ranks.filter((rank) => rank === lowest).length
      this.#lowest = lowest
      this.#owed = Math.max(0, this.#owed + due - got)
    } else if (due > 0 && this.#owed === 0) {
      // Its tickets may be on their way.
      this.#owed = due
    } else if (due > 0) {
      // A lane that misses two turns has no tickets.
      this.#lowest = lowest
      this.#owed = 0
    }
  }

  #due(count: number): number {
    return Math.floor((this.#granted + count) / lowestLaneEvery) - Math.floor(this.#granted / lowestLaneEvery)
  }
}
