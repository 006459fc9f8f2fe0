import { unlessAborted } from '@errand/core/driver-kit'
import { LanePolicy, lanes, waitFor } from '@errand/core/ports'
import type { Clock, Delivery, Logger, QueueName, Subscription } from '@errand/core/ports'
import type { Connection } from './connection.ts'
import { LaneReader } from './lane-reader.ts'
import type { Settings } from './options.ts'

export interface SubscriptionParts {
  readonly queue: QueueName
  readonly connection: Connection
  readonly settings: Settings
  readonly clock: Clock
  readonly logger: Logger
}

/** How long consumers outlive the demand, and how long a ticket may wait here while others are asked for. */
const lingerMs = 250
/** A worker that asks again so soon after it was full wants tickets at hand; one that takes longer wants none parked. */
const shortGapMs = 50
/** How long to wait for tickets that the broker has counted, before looking again: another worker may have them. */
const onTheirWayMs = 50

/** What became of one look at the lanes. */
interface Found {
  readonly deliveries: readonly Delivery[]
  readonly more: boolean
}

/**
 * Demand is everything here: consumers run while somebody waits in `next`, and stop when the demand is filled, unless
 * the next demand has been following within milliseconds. So a busy worker holds no ticket, an idle one gets each ticket
 * pushed, and a fast one has the next tickets at hand.
 */
export class RabbitmqSubscription implements Subscription {
  readonly #parts: SubscriptionParts
  readonly #lanes: readonly LaneReader[]
  readonly #policy = new LanePolicy()
  readonly #closed = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()
  #wake: (() => void) | undefined
  #failure: Error | undefined
  #stopLinger: (() => void) | undefined
  #filledAtMs: number | undefined
  #hurry = true
  #damaged = false

  constructor(parts: SubscriptionParts) {
    this.#parts = parts
    const stirred = (): void => this.#wake?.()
    const nowMs = (): number => parts.clock.monotonicMs()
    const gone = (): void => {
      this.#damaged = true
      stirred()
    }
    this.#lanes = lanes.map((lane) => new LaneReader({ ...parts, lane, nowMs, stirred, gone }))
    parts.connection.ended.addEventListener('abort', stirred, { signal: this.#closed.signal })
  }

  next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const turn = this.#turn.then(() => this.#next(max, AbortSignal.any([signal, this.#closed.signal])))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#stopLinger?.()
    await this.#turn
    await Promise.all(this.#lanes.map((lane) => lane.close()))
  }

  async #next(max: number, ended: AbortSignal): Promise<readonly Delivery[]> {
    if (ended.aborted) return []
    this.#demanded()
    let filled = false
    try {
      while (!ended.aborted) {
        this.#check()
        this.#mend()
        const { deliveries, more } = await this.#pick(max, ended)
        if (deliveries.length > 0) {
          const wanted = deliveries.filter(({ extra }) => extra !== true)
          filled = wanted.length >= max
          this.#policy.granted(
            wanted.length,
            wanted.map(({ ticket }) => ticket.lane),
          )
          return deliveries
        }
        if (ended.aborted) break
        await this.#arrival(ended, max, more)
      }
      return []
    } finally {
      this.#served(filled)
    }
  }

  /** A look at the lanes. What it finds after the signal has aborted goes back. */
  async #pick(max: number, ended: AbortSignal): Promise<Found> {
    const nothing: Found = { deliveries: [], more: false }
    const look = this.#look(max)
    const found = await unlessAborted(look, ended, () => nothing)
    if (!ended.aborted) return found
    void look.then(handBack, () => {})
    return nothing
  }

  async #look(max: number): Promise<Found> {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const lane of this.#lanes) {
      // Passed over for too long, as higher lanes have enough: an idle worker may run it.
      if (nowMs - (lane.heldSinceMs ?? nowMs) > lingerMs) await lane.retire()
    }
    const byLane = new Map<LaneReader, Delivery[]>(this.#lanes.map((lane) => [lane, []]))
    let left = max
    const takeFrom = async (lane: LaneReader, most: number): Promise<boolean> => {
      const seen = await looks.get(lane)
      looks.delete(lane)
      const { deliveries, more } = await lane.take(most, this.#hurry, seen)
      byLane.get(lane)?.push(...deliveries)
      left -= Math.min(deliveries.length, most)
      return more
    }
    const reserved = this.#policy.fromLowest(max)
    const looks = new Map(this.#surelyAsked(reserved).map((lane) => [lane, lane.look()]))
    let more = false
    for (const lane of this.#lanes) {
      if (left > reserved && !more) more = await takeFrom(lane, left - reserved)
    }
    // As many as the policy gives them of what is really handed out: of a short answer less, or nothing.
    let lowest = reserved
    while (lowest > 0 && this.#policy.fromLowest(max - left + lowest) < lowest) lowest -= 1
    const leaves = left - lowest
    for (const lane of this.#lanes.toReversed()) {
      if (left > leaves) await takeFrom(lane, left - leaves)
    }
    return { deliveries: [...byLane.values()].flat(), more }
  }

  /** Lanes without a consumer that will be asked whatever the others answer. */
  #surelyAsked(reserved: number): readonly LaneReader[] {
    const first = this.#lanes.findIndex((lane) => lane.hasConsumer)
    if (first === -1) return this.#lanes
    const lowest = this.#lanes.at(-1)
    const above = this.#lanes.slice(0, first)
    return reserved > 0 && lowest && !lowest.hasConsumer ? [...above, lowest] : above
  }

  /** Resolves when there may be something to take; at once if something has come since the last call. */
  #arrival(ended: AbortSignal, max: number, more: boolean): Promise<void> {
    return waitFor(ended, undefined, (wake) => {
      this.#wake = () => wake(undefined)
      const stop = more ? this.#parts.clock.after(onTheirWayMs, this.#wake) : undefined
      if (!more)
        for (const lane of this.#lanes) void lane.listen(max).catch((error: unknown) => this.#fail(error))
      const here = this.#lanes.some((lane) => lane.heldSinceMs !== undefined)
      if (here || this.#damaged || this.#isLost()) wake(undefined)
      return () => {
        this.#wake = undefined
        stop?.()
      }
    })
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error))
    this.#wake?.()
  }

  #isLost(): boolean {
    return this.#parts.connection.ended.aborted || this.#failure !== undefined
  }

  /**
   * Replaces the channels of all lanes if one queue was deleted. RabbitMQ 3.10 does not cancel the consumer of a deleted
   * queue if somebody declares the queue again in the same moment. The consumer stays registered, and messages to it are
   * lost on the way until its channel ends.
   */
  #mend(): void {
    if (!this.#damaged) return
    this.#damaged = false
    for (const lane of this.#lanes) void lane.renew()
  }

  /** @throws `E_DRIVER` when the connection is lost, or a lane cannot be read. */
  #check(): void {
    const { connection } = this.#parts
    if (connection.ended.aborted) throw connection.reason
    const failure = this.#failure ?? this.#lanes.find((lane) => lane.failure)?.failure
    if (failure) throw failure
  }

  #demanded(): void {
    this.#stopLinger?.()
    this.#stopLinger = undefined
    if (this.#filledAtMs === undefined) return
    this.#hurry = this.#parts.clock.monotonicMs() - this.#filledAtMs <= shortGapMs
    this.#filledAtMs = undefined
  }

  #served(filled: boolean): void {
    if (this.#closed.signal.aborted) return
    if (filled) this.#filledAtMs = this.#parts.clock.monotonicMs()
    if (filled && !this.#hurry) for (const lane of this.#lanes) void lane.pause()
    this.#stopLinger = this.#parts.clock.after(lingerMs, () => this.#retireAll())
  }

  #retireAll(): void {
    for (const lane of this.#lanes) void lane.retire()
  }
}

function handBack({ deliveries }: Found): void {
  for (const delivery of deliveries) void delivery.release()
}
