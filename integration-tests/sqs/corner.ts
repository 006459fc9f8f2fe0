import {
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ListQueuesCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import type { Lane } from '@errand/core/ports'

/** The queues of a driver's URL, which nobody else uses: the name of each begins with a prefix of its own. */
export class Corner {
  readonly prefix: string
  readonly #url: URL
  readonly #client: SQSClient

  /** @param url of a driver: `sqs://eu-west-1?endpoint=…&prefix=…` */
  constructor(url: string) {
    this.#url = new URL(url)
    this.prefix = this.#url.searchParams.get('prefix') ?? ''
    this.#client = this.client()
  }

  client(): SQSClient {
    const { hostname, username, password, searchParams } = this.#url
    const endpoint = searchParams.get('endpoint')
    const credentials = { accessKeyId: username, secretAccessKey: password }
    return new SQSClient({
      region: hostname,
      ...(endpoint === null ? {} : { endpoint }),
      ...(username === '' ? {} : { credentials }),
    })
  }

  /** Tickets in a lane of a queue, hidden ones included; of all lanes when none is named. */
  async tickets(queue: string, lane: Lane | '' = ''): Promise<number> {
    const counts = await Promise.all(
      (await this.#queues(`${queue}-${lane}`)).map(async (QueueUrl) => {
        const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] })
        const { Attributes } = await this.#client.send(command)
        const visible = Number(Attributes?.ApproximateNumberOfMessages)
        return visible + Number(Attributes?.ApproximateNumberOfMessagesNotVisible)
      }),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** The names of its SQS queues. */
  async names(): Promise<readonly string[]> {
    return (await this.#queues()).map((url) => url.split('/').at(-1) ?? '')
  }

  /** Puts messages on a lane, without the driver. */
  async put(queue: string, lane: Lane, bodies: readonly string[]): Promise<void> {
    for (const QueueUrl of await this.#queues(`${queue}-${lane}`))
      for (const MessageBody of bodies)
        await this.#client.send(new SendMessageCommand({ QueueUrl, MessageBody }))
    this.#client.destroy()
  }

  /** Deletes every queue. */
  async close(): Promise<void> {
    const queues = await this.#queues()
    await Promise.all(queues.map((QueueUrl) => this.#client.send(new DeleteQueueCommand({ QueueUrl }))))
    this.#client.destroy()
  }

  async #queues(name = ''): Promise<readonly string[]> {
    const command = new ListQueuesCommand({ QueueNamePrefix: `${this.prefix}${name}` })
    return (await this.#client.send(command)).QueueUrls ?? []
  }
}
