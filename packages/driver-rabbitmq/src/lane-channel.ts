import type { Channel, ConsumeMessage, GetMessage } from 'amqplib'
import { decodeTickets, openMessage } from '@errand/core/driver-kit'
import type { Received } from '@errand/core/driver-kit'
import { isErrandError } from '@errand/core/ports'
import type { Logger } from '@errand/core/ports'
import { Acks } from './acks.ts'
import type { Connection } from './connection.ts'

export interface LaneChannelEvents {
  /** The tickets of one message, and the consumer that brought it. */
  readonly delivered: (tickets: readonly Received[], consumer: string | undefined) => void
  /** A message was handed back. */
  readonly returned: () => void
  /** The broker has cancelled the consumer, usually because its queue was deleted. */
  readonly cancelled: (consumer: string) => void
  /** Called with the broker's error, if there is one. */
  readonly closed: (error: unknown) => void
}

/** A channel that reads one queue of the broker, and the deliveries that came through it. */
export class LaneChannel {
  readonly #connection: Connection
  readonly #channel: Channel
  readonly #queue: string
  readonly #events: LaneChannelEvents
  readonly #logger: Logger
  readonly #acks: Acks
  #prefetch: number | undefined
  /** A question was not answered, so no later one will be. */
  #silent = false

  constructor(
    connection: Connection,
    channel: Channel,
    queue: string,
    events: LaneChannelEvents,
    logger: Logger,
  ) {
    this.#connection = connection
    this.#channel = channel
    this.#queue = queue
    this.#events = events
    this.#logger = logger
    this.#acks = new Acks(channel)
    let error: unknown
    channel.on('error', (reason) => (error = reason))
    channel.on('close', () => {
      this.#acks.end()
      events.closed(error)
    })
    // Before amqplib's own listener: it fails a channel on a delivery for a consumer that was just cancelled.
    channel.prependListener('delivery', (message: ConsumeMessage) => this.#received(message))
  }

  /** How many messages the broker counts against the window of the consumer. */
  get outstanding(): number {
    return this.#acks.outstanding
  }

  /** How many messages wait in the queue. Rejects with code 403 if the user may not look. */
  async waiting(): Promise<number> {
    const { messageCount } = await this.#ask('queue.declare', () => this.#channel.checkQueue(this.#queue))
    return messageCount
  }

  /** The tickets of one message, or undefined when none waits. */
  async get(): Promise<readonly Received[] | undefined> {
    for (;;) {
      const message = await this.#ask('basic.get', () => this.#channel.get(this.#queue))
      if (message === false) return undefined
      const tickets = this.#open(message)
      if (tickets) return tickets
    }
  }

  /** Starts a consumer. If tickets wait, resolves when the first ones, at most `window`, are here. */
  async consume(consumer: string, window: number): Promise<void> {
    const channel = this.#channel
    await this.#setPrefetch(window)
    const callback = (message: ConsumeMessage | null): void => {
      if (message === null) this.#events.cancelled(consumer)
    }
    await this.#ask('basic.consume', () => channel.consume(this.#queue, callback, { consumerTag: consumer }))
    await this.caughtUp()
  }

  /**
   * Resolves when the deliveries that the broker had already sent are here. It confirms a consumer, or answers a look at
   * the queue, before those deliveries. It answers the next question after them.
   */
  async caughtUp(): Promise<void> {
    await this.#ask('basic.qos', () => this.#channel.prefetch(this.#prefetch ?? 1))
  }

  /** Resolves when the broker sends nothing more to the consumer. */
  async cancel(consumer: string): Promise<void> {
    await this.#ask('basic.cancel', () => this.#channel.cancel(consumer))
  }

  /** Hands back what is unacked. Never rejects. */
  async close(): Promise<void> {
    this.#acks.flush()
    const closing = this.#ask('channel.close', () => this.#channel.close()).catch(() => {})
    if (!this.#silent) await closing
  }

  async #ask<T>(what: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await this.#connection.answer(`${what} of queue "${this.#queue}"`, ask)
    } catch (error) {
      if (isErrandError(error)) this.#silent = true
      throw error
    }
  }

  async #setPrefetch(window: number): Promise<void> {
    if (this.#prefetch === window) return
    await this.#ask('basic.qos', () => this.#channel.prefetch(window))
    this.#prefetch = window
  }

  #received(message: ConsumeMessage): void {
    const tickets = this.#open(message)
    if (tickets) this.#events.delivered(tickets, message.fields.consumerTag)
  }

  /** Undefined for a message that is no ticket: it is set aside, so that nobody gets it again. */
  #open({ content, fields }: ConsumeMessage | GetMessage): readonly Received[] | undefined {
    const { deliveryTag: tag, redelivered } = fields
    const acks = this.#acks
    acks.received(tag)
    const { tickets, why } = decodeTickets(content)
    if (tickets) {
      const release = async (): Promise<void> => {
        acks.requeue(tag)
        this.#events.returned()
      }
      return openMessage({ tickets, redelivered, ack: () => acks.ack(tag), release })
    }
    this.#logger.warn({ queue: this.#queue, why }, 'a message that is not a ticket was set aside')
    acks.setAside(tag)
    return undefined
  }
}
