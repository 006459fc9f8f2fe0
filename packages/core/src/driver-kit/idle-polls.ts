/** Eight polls of 20 s are 0.4 requests a second, however many queues a worker has. */
const mostPolls = 8

/**
 * Bounds what idle lanes cost a process, where a poll has a price. The lanes of all subscriptions of a driver share a few long
 * polls, and have them in turns. A lane that is expected to have tickets does not wait for its turn.
 */
export class IdlePolls {
  readonly #most: number
  readonly #open = new Set<object>()
  /** Those that wait for a turn, the longest first. Each begins its poll, or says that it no longer wants one. */
  readonly #waiting = new Map<object, () => boolean>()
  #lanes = 0

  constructor(most: number = mostPolls) {
    this.#most = most
  }

  /** There are more lanes than polls. */
  get isScarce(): boolean {
    return this.#lanes > this.#most
  }

  join(lanes: number): void {
    this.#lanes += lanes
  }

  leave(lanes: readonly object[]): void {
    this.#lanes -= lanes.length
    for (const lane of lanes) this.end(lane)
  }

  /** Begins a poll of the lane when its turn comes, which may be at once. @param begin returns whether it began. */
  request(lane: object, begin: () => boolean): void {
    if (this.#open.has(lane)) return
    if (!this.#waiting.has(lane)) this.#waiting.set(lane, begin)
    this.#deal()
  }

  /** The poll of the lane has ended, or the lane no longer waits for one. */
  end(lane: object): void {
    this.#waiting.delete(lane)
    if (this.#open.delete(lane)) this.#deal()
  }

  #deal(): void {
    for (const [lane, begin] of this.#waiting) {
      if (this.#open.size >= this.#most) return
      this.#waiting.delete(lane)
      this.#open.add(lane)
      if (!begin()) this.#open.delete(lane)
    }
  }
}
