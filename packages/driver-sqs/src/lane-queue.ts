import { EntryBatcher } from '@errand/core/driver-kit'
import type { EntryResult, LaneSource, SourceMessage, TicketMessage } from '@errand/core/driver-kit'
import type { Clock, ErrandError, Lane, Logger, QueueName } from '@errand/core/ports'
import { batchSize } from './api.ts'
import type { Api } from './api.ts'
import { driverError, sqsErrors } from './errors.ts'
import { sqsName } from './names.ts'
import type { Settings } from './options.ts'

export interface LaneQueueOptions {
  readonly api: Api
  readonly settings: Settings
  readonly logger: Logger
  readonly clock: Clock
  readonly queue: QueueName
  readonly lane: Lane
}

/**
 * How long deletes wait to become a batch of ten. Nobody waits for a delete: the ticket is hidden and its job claimed. If a
 * crash prevents the delete, the ticket comes again when its visibility ends, and the claim refuses it. A slow worker has one
 * ticket in a message, and fills a batch in so long.
 */
const longestGatherMs = 10_000
/** The part of its visibility after which a message is deleted at the latest: the request may need some tries. */
const latestDelete = 1 / 3

/** A message that SQS has handed out. */
interface Receipt {
  readonly handle: string
  readonly receivedMs: number
}

/**
 * One SQS queue, which is one lane of a queue. It asks SQS for its URL once, and again when SQS no longer knows the queue.
 */
export class LaneQueue implements LaneSource<Receipt> {
  readonly lane: Lane
  readonly name: string
  readonly #options: LaneQueueOptions
  readonly #sends: EntryBatcher<string>
  readonly #acks: EntryBatcher<Receipt>
  readonly #releases: EntryBatcher<string>
  #url: Promise<string> | undefined

  constructor(options: LaneQueueOptions) {
    const { api, clock, settings, queue, lane } = options
    this.#options = options
    this.lane = lane
    this.name = sqsName(settings.prefix, queue, lane)
    this.#sends = new EntryBatcher({
      maxItems: batchSize,
      run: (bodies) => this.#onQueue('sending tickets to', (url) => api.send(url, bodies)),
      clock,
    })
    this.#acks = new EntryBatcher({
      maxItems: batchSize,
      run: (receipts) => {
        const handles = receipts.map(({ handle }) => handle)
        return this.#onQueue('deleting tickets from', (url) => api.delete(url, handles))
      },
      clock,
      gatherMs: ({ receivedMs }) => {
        const latestMs = receivedMs + settings.visibilitySeconds * 1_000 * latestDelete
        return Math.min(longestGatherMs, latestMs - clock.monotonicMs())
      },
    })
    this.#releases = new EntryBatcher({
      maxItems: batchSize,
      run: (handles) => this.#onQueue('handing tickets back to', (url) => api.handBack(url, handles)),
      clock,
    })
  }

  /** Makes sure that the queue is there. @throws `E_DRIVER` */
  async open(): Promise<void> {
    await this.#getUrl()
  }

  /** Sends nothing after the signal aborts. @throws `E_DRIVER` if the whole request failed: the message may have been sent. */
  send({ text }: TicketMessage, signal?: AbortSignal): Promise<EntryResult> {
    return this.#sends.add(text, signal)
  }

  /** @throws `E_DRIVER` */
  async receive(
    max: number,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<readonly SourceMessage<Receipt>[]> {
    const { api, clock } = this.#options
    const messages = await this.#onQueue('receiving tickets from', (url) =>
      api.receive(url, { max, waitSeconds: waitMs / 1_000, signal }),
    )
    const receivedMs = clock.monotonicMs()
    return messages.flatMap(({ Body: text, ReceiptHandle: handle, MessageId: id, Attributes }) => {
      const redelivered = Attributes?.ApproximateReceiveCount !== '1'
      return handle === undefined ? [] : [{ text, handle: { handle, receivedMs }, id, redelivered }]
    })
  }

  /** Takes up to ten seconds, because it waits for other deletes. @throws `E_DRIVER` */
  async ack(receipt: Receipt): Promise<void> {
    const result = await this.#acks.add(receipt)
    if (!result.done) throw driverError(`deleting a ticket from ${this.name}`, entryError(result))
  }

  /** @throws `E_DRIVER` */
  async release({ handle }: Receipt): Promise<void> {
    const result = await this.#releases.add(handle)
    // SQS refuses a ticket that is visible, taken by another worker or deleted by now. It need not be handed back.
    if (!result.done && result.again)
      throw driverError(`handing a ticket back to ${this.name}`, entryError(result))
  }

  /** 0 when the queue does not exist: then no ticket waits. @throws `E_DRIVER` */
  async depth(): Promise<number> {
    return (await this.#ifThere('counting the tickets of', (url) => this.#options.api.depth(url))) ?? 0
  }

  /** @throws `E_DRIVER` */
  async purge(): Promise<void> {
    await this.#ifThere('purging', async (url) => {
      try {
        await this.#options.api.purge(url)
      } catch (error) {
        // SQS purges a queue at most once a minute, and takes that long for it. The purge under way removes the same.
        if (!(error instanceof Error) || !error.name.includes('PurgeQueueInProgress')) throw error
      }
    })
  }

  /** Sends waiting deletes now. */
  flush(): void {
    this.#acks.flush()
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await Promise.all([this.#sends.idle(), this.#acks.idle(), this.#releases.idle()])
  }

  /** Makes the call, and repeats it once if the queue was deleted after its URL was read. */
  async #onQueue<T>(what: string, call: (url: string) => Promise<T>): Promise<T> {
    const asked = this.#url
    try {
      return await call(await this.#getUrl())
    } catch (error) {
      if (asked === undefined || sqsErrors.classify(error) !== 'missing') throw this.#error(what, error)
    }
    // Another call may have read a newer URL in the meantime: that one stays.
    if (this.#url === asked) this.#url = undefined
    try {
      return await call(await this.#getUrl())
    } catch (error) {
      throw this.#error(what, error)
    }
  }

  /** Makes the call. Undefined if there is no such queue: reading creates none. */
  async #ifThere<T>(what: string, call: (url: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await call(await (this.#url ?? this.#options.api.findUrl(this.name)))
    } catch (error) {
      if (sqsErrors.classify(error) === 'missing') return undefined
      throw this.#error(what, error)
    }
  }

  #getUrl(): Promise<string> {
    this.#url ??= this.#find().catch((error: unknown) => {
      this.#url = undefined
      throw this.#error('looking up', error)
    })
    return this.#url
  }

  async #find(): Promise<string> {
    const { api, settings, logger, queue, lane } = this.#options
    try {
      return await api.findUrl(this.name)
    } catch (error) {
      if (sqsErrors.classify(error) !== 'missing' || !settings.createQueues) throw error
    }
    const tags = { ...settings.tags, 'errand:queue': queue, 'errand:lane': lane }
    const url = await api.create(this.name, tags)
    logger.info({ driver: 'sqs', queue, lane, sqsQueue: this.name }, 'an SQS queue was created')
    return url
  }

  #error(what: string, error: unknown): ErrandError {
    return driverError(`${what} the SQS queue ${this.name}`, error)
  }
}

function entryError(result: EntryResult & { readonly done: false }): Error {
  return Object.assign(new Error(result.message), { name: result.code })
}
