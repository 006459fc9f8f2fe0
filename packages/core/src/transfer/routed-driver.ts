import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type {
  CallOptions,
  Driver,
  DriverCapabilities,
  DriverContext,
  DriverFactory,
  PublishReport,
  SubscribeOptions,
  Subscription,
} from '../ports/driver.ts'
import type { DriverAddress, Transfer } from '../ports/transfer.ts'
import { RoutedSubscription } from './routed-subscription.ts'
import type { RoutedSubscriptionParts } from './routed-subscription.ts'
import { describePlace, driversInUse } from './places.ts'
import type { Route } from './route.ts'

export interface RoutedDriverParts {
  readonly configured: DriverFactory
  readonly context: DriverContext
  /** Loads the driver of an address that the log names: a URL, or `env:NAME`. */
  readonly factoryAt: (url: string) => Promise<DriverFactory>
}

/** How often a process that only dispatches looks whether the driver has moved: in the background of a dispatch. */
export const lookEveryMs = 5_000
/** How long publishing waits for a look that is under way. */
const lookWaitMs = 250
/** How long to wait for the depth of the old driver. */
const leftWaitMs = 1_000

/**
 * The driver that this process uses now: the configured one, or the one that the log's forwarding address names. While
 * the system moves, tickets are published to the new driver and taken from both.
 */
export class RoutedDriver implements Driver, Route {
  readonly port = 1
  readonly #parts: RoutedDriverParts
  readonly #configured: string
  /** Every open driver, by its place, the one in use first. */
  #open: ReadonlyMap<string, Driver>
  #current: Driver
  #old: Driver | undefined
  readonly #subscriptions = new Set<RoutedSubscription>()
  readonly #watchers = new Set<() => void>()
  #revision = 0
  #learning: Promise<void> = Promise.resolve()
  #leaving: Promise<unknown> = Promise.resolve()
  #lookedMs = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  #looked: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(parts: RoutedDriverParts) {
    this.#parts = parts
    this.#configured = describePlace(parts.configured)
    this.#current = parts.configured.open(parts.context)
    this.#open = new Map([[this.#configured, this.#current]])
  }

  get name(): string {
    return this.#current.name
  }

  get capabilities(): DriverCapabilities {
    return this.#current.capabilities
  }

  get places(): readonly string[] {
    return [...this.#open.keys()]
  }

  get old(): Driver | undefined {
    return this.#old
  }

  onChange(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  follow(transfer: Transfer | undefined): Promise<void> {
    this.#lookedMs = this.#parts.context.clock.monotonicMs()
    if (transfer === undefined || transfer.revision <= this.#revision) return this.#learning
    this.#learning = this.#followAfter(this.#learning, transfer)
    return this.#learning
  }

  look(): void {
    const { clock, log, logger } = this.#parts.context
    if (this.#closing || clock.monotonicMs() - this.#lookedMs < lookEveryMs) return
    this.#lookedMs = clock.monotonicMs()
    this.#looked = undefined
    this.#looking = log
      .transfer()
      .then((transfer) => this.follow(transfer))
      .catch((error: unknown) => logger.debug({ err: error }, 'it is unknown whether the driver has moved'))
      .finally(() => {
        this.#looking = undefined
      })
  }

  async #followAfter(before: Promise<void>, transfer: Transfer): Promise<void> {
    await before
    try {
      await this.#follow(transfer)
    } catch (error) {
      const { logger } = this.#parts.context
      logger.error(
        { err: error, to: transfer.to.place, driver: this.name },
        'the driver has moved, and this process cannot follow',
      )
    }
  }

  async #follow(transfer: Transfer): Promise<void> {
    if (transfer.revision <= this.#revision || this.#closing) return
    const { logger } = this.#parts.context
    const { current, old } = driversInUse(this.#configured, transfer)
    const drivers = new Map([[current.place, await this.#opened(current)]])
    if (old) {
      // Without it this process dispatches and takes from the new one; others drain the old one.
      await this.#opened(old).then(
        (driver) => drivers.set(old.place, driver),
        (error: unknown) => logger.warn({ err: error }, 'the old driver cannot be opened'),
      )
    }
    if (this.#closing) return this.#close(drivers)
    const before = this.#open
    this.#revision = transfer.revision
    this.#current = drivers.get(current.place) ?? this.#current
    this.#old = old && drivers.get(old.place)
    const gone = new Map([...before].filter(([place]) => !drivers.has(place)))
    // An old driver counts as open until it has been closed.
    this.#open = new Map([...drivers, ...gone])
    this.#tell()
    const moved = [...this.#subscriptions].map((subscription) => subscription.use([...drivers.values()]))
    if (before.size !== drivers.size || gone.size > 0) {
      logger.info({ drivers: [...drivers.keys()], by: transfer.by }, 'this process follows the driver')
    }
    this.#leaving = this.#leave(gone, moved)
  }

  async #closeAll(): Promise<void> {
    await this.#learning
    await this.#leaving
    await this.#close(this.#open)
  }

  async #leave(gone: ReadonlyMap<string, Driver>, moved: readonly Promise<void>[]): Promise<void> {
    if (gone.size === 0) return
    await Promise.allSettled(moved)
    await this.#close(gone)
    this.#open = new Map([...this.#open].filter(([place, driver]) => gone.get(place) !== driver))
    this.#tell()
  }

  async #opened({ place, url }: DriverAddress): Promise<Driver> {
    const { configured, context, factoryAt } = this.#parts
    // A driver that is being closed cannot be used again.
    await this.#leaving
    const known = this.#open.get(place)
    if (known) return known
    if (place === this.#configured) return configured.open(context)
    if (url === undefined) {
      throw new Error(`the address of ${place} is not in the log; configure this process with it`)
    }
    const factory = await factoryAt(url)
    const found = describePlace(factory)
    // `env:NAME` may mean another driver in each process.
    if (found !== place) {
      throw new ErrandError(
        'E_CONFIG',
        `${url} leads to ${found} in this process, and the move is to ${place}`,
      )
    }
    return factory.open(context)
  }

  #tell(): void {
    for (const changed of this.#watchers) changed()
  }

  async #close(drivers: ReadonlyMap<string, Driver>): Promise<void> {
    await Promise.all(
      [...drivers].map(([place, driver]) =>
        driver.close().catch((error: unknown) => {
          this.#parts.context.logger.warn({ err: error, place }, 'a driver did not close cleanly')
        }),
      ),
    )
  }

  /**
   * The look began beside the append, so it has usually been answered. A process that was idle finds the move this way.
   */
  async looked(): Promise<void> {
    if (!this.#looking) return
    // Once for each look: later callers have waited already, or need not wait.
    this.#looked ??= inTime(this.#looking, lookWaitMs, this.#parts.context.clock, () => undefined)
    await this.#looked
  }

  async publish(tickets: readonly Ticket[], call?: CallOptions): Promise<PublishReport> {
    await this.looked()
    return this.#current.publish(tickets, call)
  }

  async refusal(): Promise<string | undefined> {
    return this.#current.refusal?.()
  }

  subscribe(queue: QueueName, options: SubscribeOptions): Promise<Subscription> {
    return this.#subscribe({ queues: [queue], many: false, options })
  }

  /** Missing while one of the drivers in use cannot do it. */
  get subscribeMany(): Driver['subscribeMany'] {
    if (!this.#drivers.every((driver) => driver.subscribeMany)) return undefined
    return (queues, options) => this.#subscribe({ queues, many: true, options })
  }

  get #drivers(): readonly Driver[] {
    return this.#old ? [this.#current, this.#old] : [this.#current]
  }

  async #subscribe(
    parts: Pick<RoutedSubscriptionParts, 'queues' | 'many' | 'options'>,
  ): Promise<Subscription> {
    const { clock, logger } = this.#parts.context
    const closed = (): void => void this.#subscriptions.delete(subscription)
    const subscription = new RoutedSubscription({ ...parts, clock, logger, closed })
    this.#subscriptions.add(subscription)
    await subscription.begin(this.#drivers)
    return subscription
  }

  /** During a move, this includes what still waits at the old driver: its tickets are delivered as well. */
  async depth(queue: QueueName): Promise<number | undefined> {
    const old = this.#old
    if (!old) return this.#current.depth(queue)
    const [depth, left] = await Promise.all([this.#current.depth(queue), this.#left(old, queue)])
    return depth === undefined || left === undefined ? undefined : depth + left
  }

  /** An old broker that is broken or hangs must not delay what is published to the new one. */
  #left(old: Driver, queue: QueueName): Promise<number | undefined> {
    const reading = old.depth(queue).catch(() => 0)
    return inTime(reading, leftWaitMs, this.#parts.context.clock, () => 0)
  }

  async purge(queue: QueueName): Promise<void> {
    await Promise.all([this.#current.purge(queue), this.#old?.purge(queue)])
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }
}
