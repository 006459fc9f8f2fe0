import { LanePolicy } from '../job/lane-policy.ts'
import { laneRank } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import type { Received } from './received.ts'

/** No ticket is kept for longer between two asks: another worker may be free. */
export const keptMs = 500

/**
 * Tickets that have arrived and have not been asked for yet. They exist because all lanes are polled at the same time, and
 * each may bring as many as are asked for.
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

  /** When the oldest one must go back, if each is kept for so long. */
  findDueMs(keepMs: number): number | undefined {
    return this.#tickets.length === 0
      ? undefined
      : Math.min(...this.#tickets.map(({ receivedMs }) => receivedMs)) + keepMs
  }

  put(received: readonly Received[]): void {
    this.#tickets.push(...received)
  }

  /** How many of the next `max` tickets the lane policy wants from the lowest lane that waits. */
  fromLowest(max: number): number {
    return this.#policy.fromLowest(max)
  }

  /** How many it has of this lane and of higher ones. */
  countDownTo(lane: Lane): number {
    return this.#tickets.filter(({ lane: each }) => laneRank[each] <= laneRank[lane]).length
  }

  countIn(lane: Lane): number {
    return this.#tickets.filter((each) => each.lane === lane).length
  }

  /**
   * Takes at most `max`, highest lane first, with the share that the lane policy wants from the lowest lane. If a message
   * must be delivered whole, its other tickets are added as extra ones. Lanes below `floor` are left out: a poll on `floor` has just been
   * opened and may bring tickets.
   */
  take(max: number, floor: Lane | undefined): readonly Received[] {
    const sorted = this.#tickets.toSorted((a, b) => laneRank[a.lane] - laneRank[b.lane])
    const allowed = sorted.filter(({ lane }) => !floor || laneRank[lane] <= laneRank[floor])
    // The lowest lane gets a share only if a higher lane has tickets.
    if (allowed.length === 0) return []
    const low = sorted.filter(({ lane }) => lane === sorted.at(-1)?.lane)
    const share = low.slice(0, this.#policy.fromLowest(Math.min(max, allowed.length + low.length)))
    const shared = new Set(share)
    const rest = allowed.filter((each) => !shared.has(each)).slice(0, max - share.length)
    const wanted = new Set([...rest, ...share])
    const whole = new Set([...wanted].flatMap(({ wholeMessage }) => wholeMessage ?? []))
    const taken = this.#remove((each) => wanted.has(each) || whole.has(each.wholeMessage ?? each))
    for (const each of taken) each.extra = !wanted.has(each)
    this.#policy.granted(
      wanted.size,
      [...wanted].map(({ lane }) => lane),
    )
    return taken.toSorted((a, b) => laneRank[a.lane] - laneRank[b.lane])
  }

  /** Takes those that must go back, if each is kept for so long. */
  takeDue(nowMs: number, keepMs: number): readonly Received[] {
    return this.#remove(({ receivedMs }) => nowMs - receivedMs >= keepMs)
  }

  /** Takes those that the broker has shown, or will soon show, to others. Happens if the event loop was blocked. */
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
