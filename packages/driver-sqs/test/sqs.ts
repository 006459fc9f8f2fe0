import { randomBytes } from 'node:crypto'
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ListQueuesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import { systemClock } from '@errand/core/ports'
import type {
  Delivery,
  Driver,
  DriverContext,
  Lane,
  Logger,
  QueueName,
  Subscription,
  Ticket,
} from '@errand/core/ports'
import { newTicket, quietLogger, scaleLimit, until, workerRef } from '@errand/testkit'
import type { SqsFaults } from '@errand/testkit/sqs-faults'
import type { Patience } from '../src/api.ts'
import { openDriver } from '../src/driver.ts'
import type { SqsOptions } from '../src/index.ts'
import { sqsName } from '../src/names.ts'
import { resolveOptions } from '../src/options.ts'
import { parseUrl } from '../src/url.ts'

/**
 * A send whose answer comes late is repeated, and its tickets are then there twice. A busy machine must not do that to tests
 * that count requests or tickets.
 */
const endless: Patience = { deadlineMs: 600_000, firstTryMs: 600_000 }

/** A corner of the SQS of this run that nobody else uses: every queue's name begins with a prefix of its own. */
export class Corner {
  readonly prefix: string
  readonly #place: SqsOptions
  readonly #drivers: Driver[] = []
  readonly #clients: SQSClient[] = []

  constructor(url: string) {
    this.#place = parseUrl(url)
    this.prefix = `${this.#place.prefix ?? 'errand-'}${randomBytes(4).toString('hex')}-`
  }

  client(config: SQSClientConfig = {}): SQSClient {
    const { region, endpoint, credentials } = this.#place
    const client = new SQSClient({
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      requestHandler: { httpAgent: { maxSockets: 512 }, httpsAgent: { maxSockets: 512 } },
      ...config,
    })
    this.#clients.push(client)
    return client
  }

  /** A client whose faults and requests are in `faults`. */
  faulty(faults: SqsFaults, config: SQSClientConfig = {}): SQSClient {
    const client = this.client(config)
    faults.install(client)
    return client
  }

  open(options: SqsOptions = {}, logger: Logger = quietLogger, patience: Patience = endless): Driver {
    const place = options.client ? {} : this.#place
    const settings = resolveOptions({ ...place, prefix: this.prefix, ...options })
    const driver = openDriver(settings, context(logger), patience)
    this.#drivers.push(driver)
    return driver
  }

  /** The queue of a lane, created on first use. */
  async getUrl(queue: QueueName, lane: Lane): Promise<string> {
    const { QueueUrl } = await this.client().send(
      new CreateQueueCommand({ QueueName: sqsName(this.prefix, queue, lane) }),
    )
    return QueueUrl!
  }

  /** Messages of a queue's normal lane, hidden ones included. */
  async left(queue: QueueName): Promise<number> {
    const command = new GetQueueAttributesCommand({
      QueueUrl: await this.getUrl(queue, 'normal'),
      AttributeNames: ['All'],
    })
    const { Attributes } = await this.client().send(command)
    return (
      Number(Attributes?.ApproximateNumberOfMessages) +
      Number(Attributes?.ApproximateNumberOfMessagesNotVisible)
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Closes what was opened, and deletes every queue. */
  async close(): Promise<void> {
    await Promise.all(this.#drivers.map((driver) => driver.close()))
    const client = this.client()
    const { QueueUrls } = await client.send(new ListQueuesCommand({ QueueNamePrefix: this.prefix }))
    await Promise.all((QueueUrls ?? []).map((url) => client.send(new DeleteQueueCommand({ QueueUrl: url }))))
    for (const each of this.#clients) each.destroy()
  }
}

/** The parts of core's context that this driver uses. */
export function context(logger: Logger = quietLogger): DriverContext {
  const given: Omit<DriverContext, 'log'> = { logger, clock: systemClock }
  return given as DriverContext
}

export function tickets(count: number, queue: QueueName, lane: Lane = 'normal'): Ticket[] {
  return Array.from({ length: count }, () => newTicket({ queue, lane }))
}

export function subscribe(driver: Driver, queue: QueueName): Promise<Subscription> {
  return driver.subscribe(queue, { worker: workerRef() })
}

export async function publish(driver: Driver, all: readonly Ticket[]): Promise<readonly Ticket[]> {
  const { accepted } = await driver.publish(all)
  if (accepted.length !== all.length)
    throw new Error(`${accepted.length} of ${all.length} tickets were accepted`)
  return all
}

/** Acks everything until this many different tickets have come. Like a worker, it asks again while acks are under way. */
export async function drain(subscription: Subscription, count: number, max = 10): Promise<string[]> {
  const got = new Set<string>()
  const acks: Promise<void>[] = []
  const patience = AbortSignal.timeout(scaleLimit(30_000))
  while (got.size < count && !patience.aborted) {
    const deliveries = await subscription.next(max, patience)
    acks.push(...deliveries.map((delivery) => delivery.ack()))
    for (const { ticket } of deliveries) got.add(ticket.id)
  }
  await Promise.all(acks)
  return [...got].toSorted()
}

export const ids = (all: readonly (Ticket | Delivery)[]): string[] =>
  all.map((each) => ('ticket' in each ? each.ticket.id : each.id)).toSorted()

export { until }
