import { LanePolicy } from '../job/lane-policy.ts'
import type { Delivery, Subscription } from '../ports/driver.ts'
import { HandOvers } from './hand-overs.ts'
import type { HandOversOptions } from './hand-overs.ts'
import type { PullSource } from './message-source.ts'

export interface PullSubscriptionOptions extends HandOversOptions {
  readonly source: PullSource
}

/**
 * A subscription for brokers that can take from all lanes of a queue in one quick step, and hide those messages until they
 * are acked. It takes only what is asked for, so it keeps nothing between two asks.
 */
export class PullSubscription implements Subscription {
  readonly #source: PullSource
  readonly #handOvers: HandOvers
  readonly #policy = new LanePolicy()
  readonly #closed = new AbortController()

  constructor({ source, ...options }: PullSubscriptionOptions) {
    this.#source = source
    this.#handOvers = new HandOvers(options)
  }

  async next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const ended = AbortSignal.any([signal, this.#closed.signal])
    while (!ended.aborted) {
      const messages = await this.#source.take(max, this.#policy.fromLowest(max))
      const received = this.#handOvers.receive(this.#source, messages, 0)
      if (this.#closed.signal.aborted) {
        this.#handOvers.handBack(received)
        await this.#handOvers.settled()
      } else if (received.length > 0) {
        this.#policy.granted(received.length)
        return received.map((each) => this.#handOvers.deliver(each))
      } else if (messages.length === 0) await this.#source.arrival(ended)
    }
    return []
  }

  /** Hands back what is unacked. Resolves when the broker has answered. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#handOvers.handBackAll()
    await this.#handOvers.settled()
  }
}
