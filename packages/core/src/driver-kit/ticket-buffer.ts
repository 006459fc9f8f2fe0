import { LanePolicy } from '../job/lane-policy.ts'
import { laneRank } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import type { Received } from './received.ts'

/** Between two asks no ticket is kept longer: another worker may be free. */
export const keptMs = 500

/**
 * The tickets that have come and have not been asked for yet. There are some because lanes are polled at once: each may
 * bring as many as are asked for.
 */
export class TicketBuffer {
  readonly #policy = new LanePolicy()
  readonly #hiddenMs: number
  #tickets: Received[] = []

  constructor(hiddenMs: number) {
    this.#hiddenMs = hiddenMs
  }

  get size(): number {
    return this.#tickets.length
  }

  get isEmpty(): boolean {
    return this.#tickets.length === 0
  }

  /** When the oldest one has been kept for long enough. */
  get dueMs(): number | undefined {
    return this.#tickets.length === 0
      ? undefined
      : Math.min(...this.#tickets.map(({ receivedMs }) => receivedMs)) + keptMs
  }

  put(received: readonly Received[]): void {
    this.#tickets.push(...received)
  }

  /** How many of the next `max` tickets the lane policy wants from the lowest lane that waits. */
  fromLowest(max: number): number {
    return this.#policy.fromLowest(max)
  }

  /** How many are there of this lane and the ones above it. */
  countDownTo(lane: Lane): number {
    return this.#tickets.filter(({ lane: each }) => laneRank[each] <= laneRank[lane]).length
  }

  countIn(lane: Lane): number {
    return this.#tickets.filter((each) => each.lane === lane).length
  }

  /**
   * Takes at most `max`, highest lane first, and what the lane policy wants from the lowest lane; besides the rest of
   * messages that must be delivered whole. Not those below `floor`, a lane whose poll has only just been opened and may
   * have tickets.
   */
  take(max: number, floor: Lane | undefined): readonly Received[] {
    const sorted = this.#tickets.toSorted((a, b) => laneRank[a.lane] - laneRank[b.lane])
    const allowed = sorted.filter(({ lane }) => !floor || laneRank[lane] <= laneRank[floor])
    // A share for the lowest lane presupposes that a higher one has something.
    if (allowed.length === 0) return []
    const low = sorted.filter(({ lane }) => lane === sorted.at(-1)?.lane)
    const share = low.slice(0, this.#policy.fromLowest(Math.min(max, allowed.length + low.length)))
    const shared = new Set(share)
    const rest = allowed.filter((each) => !shared.has(each)).slice(0, max - share.length)
    const wanted = new Set([...rest, ...share])
    const whole = new Set([...wanted].flatMap(({ wholeMessage }) => wholeMessage ?? []))
    const taken = this.#remove((each) => wanted.has(each) || whole.has(each.wholeMessage ?? each))
    this.#policy.granted(taken.length)
    return taken.toSorted((a, b) => laneRank[a.lane] - laneRank[b.lane])
  }

  /** Takes those that have been kept for too long. */
  takeDue(nowMs: number): readonly Received[] {
    return this.#remove(({ receivedMs }) => nowMs - receivedMs >= keptMs)
  }

  /** Takes those that the broker has shown, or is about to show, to others: the event loop stood still. */
  takeExpired(nowMs: number): readonly Received[] {
    return this.#remove(({ receivedMs }) => nowMs - receivedMs >= this.#hiddenMs)
  }

  takeAll(): readonly Received[] {
    return this.#remove(() => true)
  }

  #remove(which: (received: Received) => boolean): readonly Received[] {
    const taken: Received[] = []
    const kept: Received[] = []
    for (const each of this.#tickets) (which(each) ? taken : kept).push(each)
    this.#tickets = kept
    return taken
  }
}
