import { inTime } from '@errand/core/driver-kit'
import { checkQueueName } from '@errand/core/ports'
import type {
  CallOptions,
  Driver,
  DriverCapabilities,
  DriverContext,
  PublishReport,
  QueueName,
  Subscription,
  Ticket,
} from '@errand/core/ports'
import { closedError } from './errors.ts'
import { depthOf, purgeAll } from './inspection.ts'
import { Link } from './link.ts'
import { brokerQueues } from './names.ts'
import type { Settings } from './options.ts'
import { Publisher } from './publisher.ts'
import { RabbitmqSubscription } from './subscription.ts'
import { topologyOf } from './topology.ts'

/** How long handing tickets back may take. After that the connection ends without: the broker takes them back then. */
const handBackMs = 3_000

export class RabbitmqDriver implements Driver {
  readonly port = 1
  readonly name = 'rabbitmq'
  readonly capabilities: DriverCapabilities = { delivers: 'tickets', depth: 'exact' }
  readonly #settings: Settings
  readonly #context: DriverContext
  readonly #publishing: Link
  readonly #consuming: Link
  readonly #publisher: Publisher
  readonly #subscriptions = new Set<RabbitmqSubscription>()
  #closing: Promise<void> | undefined

  constructor(settings: Settings, context: DriverContext) {
    this.#settings = settings
    this.#context = context
    this.#publishing = new Link('publish', settings, context)
    this.#consuming = new Link('consume', settings, context)
    this.#publisher = new Publisher(this.#publishing, settings, context.clock)
  }

  async publish(tickets: readonly Ticket[], call?: CallOptions): Promise<PublishReport> {
    this.#checkOpen()
    return this.#publisher.publish(tickets, call)
  }

  async refusal(): Promise<string | undefined> {
    this.#checkOpen()
    return this.#publisher.refusal()
  }

  async subscribe(queue: QueueName): Promise<Subscription> {
    this.#checkOpen()
    checkQueueName(queue)
    const settings = this.#settings
    const connection = await this.#consuming.connected()
    await topologyOf(connection, settings).ensureAll(brokerQueues(settings.prefix, queue))
    this.#checkOpen()
    const { clock, logger } = this.#context
    const closed = (): void => void this.#subscriptions.delete(subscription)
    const subscription = new RabbitmqSubscription({ queue, connection, settings, clock, logger, closed })
    this.#subscriptions.add(subscription)
    return subscription
  }

  async depth(queue: QueueName): Promise<number | undefined> {
    this.#checkOpen()
    checkQueueName(queue)
    return depthOf(await this.#consuming.connected(), this.#settings.prefix, queue)
  }

  async purge(queue: QueueName): Promise<void> {
    this.#checkOpen()
    checkQueueName(queue)
    await purgeAll(await this.#consuming.connected(), this.#settings.prefix, queue)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const closing = Promise.all([...this.#subscriptions].map((subscription) => subscription.close()))
    await inTime(closing, handBackMs, this.#context.clock, () => undefined)
    await this.#publisher.idle()
    await Promise.all([this.#publishing.close(), this.#consuming.close()])
    await closing
  }

  #checkOpen(): void {
    if (this.#closing) throw closedError()
  }
}
