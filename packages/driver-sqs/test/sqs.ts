import { randomBytes } from 'node:crypto'
import { CreateQueueCommand, DeleteQueueCommand, ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import { systemClock } from '@errand/core/ports'
import type { Driver, DriverContext, Lane, Logger, QueueName } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { sqs } from '../src/index.ts'
import type { SqsOptions } from '../src/index.ts'
import { sqsName } from '../src/names.ts'
import { optionsOf } from '../src/url.ts'

/** A corner of the SQS of this run that nobody else uses: every queue's name begins with a prefix of its own. */
export class Corner {
  readonly prefix: string
  readonly #place: SqsOptions
  readonly #drivers: Driver[] = []
  readonly #clients: SQSClient[] = []

  constructor(url: string) {
    this.#place = optionsOf(url)
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

  open(options: SqsOptions = {}, logger: Logger = quietLogger): Driver {
    const place = options.client ? {} : this.#place
    const driver = sqs({ ...place, prefix: this.prefix, ...options }).open(context(logger))
    this.#drivers.push(driver)
    return driver
  }

  /** The queue of a lane, created by whoever needs it first. */
  async urlOf(queue: QueueName, lane: Lane): Promise<string> {
    const { QueueUrl } = await this.client().send(new CreateQueueCommand({ QueueName: sqsName(this.prefix, queue, lane) }))
    return QueueUrl!
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

/** What this driver takes of what core hands it. */
export function context(logger: Logger = quietLogger): DriverContext {
  const given: Omit<DriverContext, 'log'> = { logger, clock: systemClock }
  return given as DriverContext
}
