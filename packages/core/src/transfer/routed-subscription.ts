import { ErrandError } from '../errors.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Delivery, Driver, SubscribeOptions, Subscription } from '../ports/driver.ts'
import { untilAborted } from '../wait.ts'
import { Side } from './side.ts'

export interface RoutedSubscriptionParts {
  readonly queues: readonly QueueName[]
  /** Whether it is one for many queues. Then it uses only drivers that can do that. */
  readonly many: boolean
  readonly options: SubscribeOptions
  readonly clock: Clock
  readonly logger: Logger
  readonly closed: () => void
}

/** How long the subscription at an old driver outlives the last ask: what it brought is acked in that time. */
const lingerMs = 1_000

/**
 * The subscription of a queue, or of many, at the driver in use. While the system moves, it is one at both drivers, and the first that
 * has something answers. Otherwise it passes through to the only driver.
 */
export class RoutedSubscription implements Subscription {
  readonly #parts: RoutedSubscriptionParts
  readonly #ended = new AbortController()
  readonly #joined = Promise.withResolvers<void>()
  #sides: readonly Side[] = []
  /** Ends the asks under way: the sides have changed. */
  #interrupt: () => void = () => undefined
  #asking: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(parts: RoutedSubscriptionParts) {
    this.#parts = parts
  }

  /**
   * Resolves when one driver has subscribed.
   * @throws what the driver in use throws, if none can subscribe.
   */
  async begin(drivers: readonly Driver[]): Promise<void> {
    this.#sides = this.#usable(drivers).map((driver) => this.#side(driver))
    const connecting = this.#sides.map((side) => side.connect())
    // A broken driver must not keep the other one waiting: the slower one joins later. There may be another one by then.
    for (const [index, side] of this.#sides.entries()) void this.#join(side, connecting[index])
    try {
      // A driver that the system moves to in the meantime counts as well: a broker that is left because it is dead may
      // answer late.
      await Promise.race([Promise.any(connecting), this.#joined.promise])
    } catch (error) {
      await this.close()
      throw error instanceof AggregateError ? error.errors[0] : error
    }
  }

  /** Uses these drivers from now on, the one in use first. Resolves when the others have been closed. */
  async use(drivers: readonly Driver[]): Promise<void> {
    if (this.#closing) return this.#closing
    const before = this.#sides
    this.#sides = this.#usable(drivers).map((driver) => {
      const known = before.find((side) => side.driver === driver)
      if (known) return known
      const side = this.#side(driver)
      void this.#join(side, side.connect())
      return side
    })
    this.#interrupt()
    const gone = before.filter((side) => !this.#sides.includes(side))
    if (gone.length === 0) return
    await this.#asking
    await this.#parts.clock.sleep(lingerMs, this.#ended.signal)
    await Promise.allSettled(gone.map((side) => side.end()))
  }

  async next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    while (!signal.aborted && !this.#ended.signal.aborted) {
      const round = new AbortController()
      const end = (): void => round.abort()
      this.#interrupt = end
      signal.addEventListener('abort', end)
      this.#ended.signal.addEventListener('abort', end)
      try {
        const asking = this.#round(max, round)
        this.#asking = asking.catch(() => undefined)
        const deliveries = await asking
        if (deliveries.length > 0) return deliveries
        // The driver answered with nothing and was not told to end: the caller decides what that means.
        if (!round.signal.aborted) return []
      } finally {
        signal.removeEventListener('abort', end)
        this.#ended.signal.removeEventListener('abort', end)
      }
    }
    return []
  }

  async #round(max: number, round: AbortController): Promise<readonly Delivery[]> {
    const [side, other] = this.#sides
    if (!other) {
      if (side?.subscription) return this.#ask(side, max, 1, round.signal)
      return this.#change(round.signal)
    }
    const open = this.#sides.filter((each) => each.subscription)
    if (open.length === 0) return this.#change(round.signal)
    let failure: unknown
    const answers = open.map(async (each) => {
      try {
        const deliveries = await this.#ask(each, max, open.length, round.signal)
        if (deliveries.length === 0 && !round.signal.aborted) {
          throw new ErrandError('E_DRIVER', `${each.driver.name} answered with nothing`)
        }
        // The other one need not wait any longer. What it still brings is taken as well.
        round.abort()
        return deliveries
      } catch (error) {
        each.lost(error)
        failure = error
        return []
      }
    })
    const deliveries = (await Promise.all(answers)).flat()
    // Every side is lost: the caller subscribes again, and reports in the meantime that it cannot take.
    if (deliveries.length === 0 && !this.#sides.some((each) => each.subscription)) throw failure
    return deliveries
  }

  /**
   * Each of several sides is asked only for its share, because there must be room for what all of them bring at once.
   */
  async #ask(
    { driver, subscription }: Side,
    max: number,
    sides: number,
    signal: AbortSignal,
  ): Promise<readonly Delivery[]> {
    const { mostClaims = () => max } = this.#parts.options
    // What a driver of claims delivers has been granted.
    const most = driver.capabilities.delivers === 'claims' ? Math.min(max, mostClaims()) : max
    return (await subscription?.next(Math.ceil(most / sides), signal)) ?? []
  }

  /** Waits until the sides have changed. */
  async #change(signal: AbortSignal): Promise<readonly Delivery[]> {
    await untilAborted(signal)
    return []
  }

  #side(driver: Driver): Side {
    const { queues, many, options, clock, logger } = this.#parts
    const subscribe = (): Promise<Subscription> =>
      many && driver.subscribeMany
        ? driver.subscribeMany(queues, options)
        : driver.subscribe(queues[0]!, options)
    return new Side(driver, { subscribe, queues, clock, logger, mended: () => this.#interrupt() })
  }

  /** The worker replaces a subscription for many queues as soon as a driver comes that can take from one only. */
  #usable(drivers: readonly Driver[]): readonly Driver[] {
    return this.#parts.many ? drivers.filter((driver) => driver.subscribeMany) : drivers
  }

  async #join(side: Side, connecting: Promise<void> | undefined): Promise<void> {
    try {
      await connecting
    } catch (error) {
      // It is the only one, so those who wait for the subscription are told.
      const isOnlyOne = this.#sides.length === 1
      return isOnlyOne || !this.#sides.includes(side) ? undefined : side.mend(error)
    }
    this.#joined.resolve()
    this.#interrupt()
  }

  /** Hands back every unacked ticket. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#ended.abort()
    this.#parts.closed()
    const ended = await Promise.allSettled(this.#sides.map((side) => side.end()))
    const failed = ended.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
  }
}
