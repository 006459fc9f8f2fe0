import { driverError, MessageSize, readMessage, repeat } from '@errand/core/driver-kit'
import type { Received } from '@errand/core/driver-kit'
import { isErrandError } from '@errand/core/ports'
import type { Delivery, Lane, Logger } from '@errand/core/ports'
import type { Connection } from './connection.ts'
import { replyCode } from './errors.ts'
import { LaneChannel } from './lane-channel.ts'
import { brokerQueue } from './names.ts'
import type { Settings } from './options.ts'
import { getTopology, isRefused } from './topology.ts'

export interface LaneReaderParts {
  readonly queue: string
  readonly lane: Lane
  readonly connection: Connection
  readonly settings: Settings
  readonly logger: Logger
  readonly nowMs: () => number
  /** Called when a message has come or something has changed: look again. */
  readonly stirred: () => void
  /** Called when its queue was deleted: the queues of the other lanes may be gone too. */
  readonly gone: () => void
}

export interface Taken {
  readonly deliveries: readonly Delivery[]
  /** More tickets of this lane are on their way: those of lower lanes must wait for them. */
  readonly more: boolean
}

/** What a look at a lane found: how many messages wait; undefined if the user may not look. */
export interface Seen {
  readonly waiting: number | undefined
}

/** Without a consumer, up to this many tickets are fetched one by one: it costs the broker less than starting a consumer. */
const fewTickets = 2
/** A message that was handed back is in its queue again by then, unless another worker has it. */
const returnMs = 1_000
/** AMQP's limit. */
const widestWindow = 65_535
/** The weight of one message. */
const weight = 0.2

/** Reads one lane: with a consumer while there is demand, one by one if few tickets are wanted. */
export class LaneReader {
  readonly lane: Lane
  readonly #parts: LaneReaderParts
  readonly #queue: string
  #channel: LaneChannel | undefined
  /** Its window counts messages, as the broker does. */
  #consumer: { readonly tag: string; readonly window: number } | undefined
  #cancelling: string | undefined
  #consumers = 0
  #held: Received[] = []
  #heldSinceMs = 0
  /** The message from which a ticket was taken last. */
  #begun: object | undefined
  /** Tickets that were handed out without being asked for. Most of them come back when those that were asked for are claimed. */
  #extra: Received[] = []
  /** When a message was handed back, until the lane has been looked at again. */
  #returnedMs = Number.NEGATIVE_INFINITY
  readonly #size = new MessageSize(weight)
  /** Messages that have come since the consumer was started. */
  #arrived = 0
  /** The window has been full since the last time that nothing was known to wait. */
  #saturated = false
  #failure: Error | undefined
  #over = false
  /** The last operation: they run one at a time. */
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: LaneReaderParts) {
    this.lane = parts.lane
    this.#parts = parts
    this.#queue = brokerQueue(parts.settings.prefix, parts.queue, parts.lane)
  }

  /** Since when the oldest ticket has waited here; undefined when none does. */
  get heldSinceMs(): number | undefined {
    return this.#held.length > 0 ? this.#heldSinceMs : undefined
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  get hasConsumer(): boolean {
    return this.#consumer !== undefined
  }

  /**
   * Returns how many messages wait, for a `take` right after it. So all lanes are asked at the same time, and then taken
   * from in their order. Undefined if a consumer runs or the broker did not answer. Never rejects.
   */
  async look(): Promise<Seen | undefined> {
    const look = this.#inTurn(async () => {
      if (this.#over || this.#consumer) return undefined
      return this.#mended(async () => ({ waiting: await this.#waiting(await this.#open()) }))
    })
    return look.catch(() => undefined)
  }

  /** Takes at most `max` of the tickets that are there now. `hurry`: more will be asked for soon. */
  take(max: number, hurry: boolean, seen?: Seen): Promise<Taken> {
    return this.#inTurn(async () => {
      // A `take` over all lanes goes on after a close. It must not open a channel again.
      if (this.#over) return { deliveries: [], more: false }
      return this.#mended(() => this.#take(max, hurry, seen))
    })
  }

  /** From now on the broker sends tickets by itself, up to about `max`. */
  listen(max: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#over) return
      const window = this.#size.messagesFor(max)
      const now = this.#consumer?.window
      // A window that nearly fits stays: changing it costs the broker a new consumer.
      if (now === undefined || window >= 2 * now || 4 * window <= now)
        await this.#mended(() => this.#consume(window))
    })
  }

  /**
   * Stops the consumer, and hands back what has not been begun. The rest of a message stays here if a part of it was just
   * taken: the slots that become free one after another take it. Never rejects.
   */
  pause(): Promise<void> {
    return this.#inTurn(() => this.#cancel(this.#begun).catch(() => {}))
  }

  /** Stops the consumer, and hands back the tickets that were not taken. Never rejects. */
  retire(): Promise<void> {
    return this.#inTurn(() => this.#cancel().catch(() => {}))
  }

  /** Closes the channel, which hands back what is unacked; the next call opens a new one. Never rejects. */
  renew(): Promise<void> {
    return this.#inTurn(async () => {
      const channel = this.#channel
      this.#forget()
      await channel?.close()
    })
  }

  /** Hands back what is unacked. Never rejects. */
  async close(): Promise<void> {
    this.#over = true
    await this.#inTurn(async () => this.#channel?.close())
  }

  async #take(max: number, hurry: boolean, seen: Seen | undefined): Promise<Taken> {
    const taken = await (this.#consumer ? this.#takePushed(max, hurry) : this.#fetch(max, hurry, seen))
    if (taken.deliveries.length >= max || !(await this.#isComingBack())) return taken
    return { deliveries: [...taken.deliveries, ...this.#takeHeld(max - taken.deliveries.length)], more: true }
  }

  /** Takes tickets while a consumer runs. */
  async #takePushed(max: number, hurry: boolean): Promise<Taken> {
    const deliveries = this.#takeHeld(max)
    if (deliveries.length >= max) return { deliveries, more: false }
    const more = await this.#hasMore()
    if (more && this.#consumer && this.#size.messagesFor(max) >= 2 * this.#consumer.window)
      await this.#consume(this.#windowFor(max, hurry))
    deliveries.push(...this.#takeHeld(max - deliveries.length))
    return { deliveries, more: more && deliveries.length < max }
  }

  /** Takes tickets while no consumer runs. */
  async #fetch(max: number, hurry: boolean, seen: Seen | undefined): Promise<Taken> {
    const deliveries = this.#takeHeld(max)
    if (deliveries.length >= max) return { deliveries, more: false }
    const channel = await this.#open()
    const { waiting } = seen ?? { waiting: await this.#waiting(channel) }
    if (waiting === 0) return { deliveries, more: false }
    if (hurry || max > fewTickets) {
      await this.#consume(this.#windowFor(max, hurry))
      deliveries.push(...this.#takeHeld(max - deliveries.length))
      // In a cluster or under load, tickets may come a moment after the broker has confirmed the consumer.
      return { deliveries, more: deliveries.length < max && this.#arrived < (waiting ?? 0) }
    }
    while (deliveries.length < max) {
      const tickets = await channel.get()
      if (!tickets) break
      this.#hold(tickets)
      deliveries.push(...this.#takeHeld(max - deliveries.length))
    }
    return { deliveries, more: false }
  }

  /**
   * Whether tickets that this worker had are on their way back, so that the lane only looks empty. The broker does not say when a
   * message that was handed back is in the queue again. So the first look after it is not believed.
   */
  async #isComingBack(): Promise<boolean> {
    const isReturning = this.#parts.nowMs() - this.#returnedMs < returnMs
    this.#returnedMs = Number.NEGATIVE_INFINITY
    // Then the broker has read that it comes back, and may have sent it to the consumer again.
    if (isReturning && this.#consumer) await this.#channel?.caughtUp()
    return isReturning || this.#extra.some(({ isOut }) => isOut)
  }

  /** Whether tickets wait on the broker because the window is full. */
  async #hasMore(): Promise<boolean> {
    const channel = this.#channel
    if (!channel || !this.#consumer || !this.#saturated) return false
    if (((await this.#waiting(channel)) ?? 0) > 0) return true
    await channel.caughtUp()
    this.#saturated = channel.outstanding >= (this.#consumer?.window ?? 0)
    return false
  }

  /** Undefined if the user may not look. */
  async #waiting(channel: LaneChannel): Promise<number | undefined> {
    const topology = getTopology(this.#parts.connection, this.#parts.settings)
    if (!topology.mayLook) return undefined
    try {
      return await channel.waiting()
    } catch (error) {
      if (isRefused(error)) topology.mayLook = false
      throw error
    }
  }

  /** Takes at most `max`, and as extra ones the rest of a message that must be delivered whole. */
  #takeHeld(max: number): Received[] {
    this.#heldSinceMs = this.#parts.nowMs()
    const taken = this.#held.splice(0, max)
    this.#begun = taken.at(-1)?.message ?? this.#begun
    const last = taken.at(-1)?.wholeMessage
    const end = last ? this.#held.findIndex(({ wholeMessage }) => wholeMessage !== last) : 0
    const rest = this.#held.splice(0, end === -1 ? this.#held.length : end)
    for (const each of rest) each.extra = true
    if (rest.length > 0) this.#extra = [...this.#extra.filter(({ isOut }) => isOut), ...rest]
    return [...taken, ...rest]
  }

  #hold(tickets: readonly Received[]): void {
    if (this.#held.length === 0) this.#heldSinceMs = this.#parts.nowMs()
    this.#held.push(...tickets)
    this.#size.learn(1, tickets.length)
  }

  /** The window, in messages. In a hurry it is twice as large, so that the next tickets are already on their way. */
  #windowFor(max: number, hurry: boolean): number {
    return Math.min(widestWindow, hurry ? 2 * this.#size.messagesFor(max) : this.#size.messagesFor(max))
  }

  async #consume(window: number): Promise<void> {
    await this.#cancel()
    const channel = await this.#open()
    this.#consumers += 1
    const consumer = { tag: `${this.lane}.${this.#consumers}`, window: Math.min(window, widestWindow) }
    this.#consumer = consumer
    this.#saturated = false
    this.#arrived = 0
    await channel.consume(consumer.tag, consumer.window)
  }

  /** @param kept a message whose tickets stay here */
  async #cancel(kept?: object): Promise<void> {
    const consumer = this.#consumer
    const channel = this.#channel
    if (consumer && channel) {
      this.#consumer = undefined
      this.#cancelling = consumer.tag
      await channel.cancel(consumer.tag)
      this.#cancelling = undefined
    }
    // Only now: a ticket that goes back earlier could come to the same consumer again.
    this.#handBackHeld(kept)
  }

  /** A ticket that goes back takes its whole message with it. */
  #handBackHeld(kept?: object): void {
    const held = this.#held
    this.#held = held.filter(({ message }) => message === kept)
    for (const ticket of held) if (ticket.message !== kept) void ticket.release()
  }

  async #open(): Promise<LaneChannel> {
    const { connection, settings, logger } = this.#parts
    if (this.#channel) return this.#channel
    await getTopology(connection, settings).ensureAll([this.#queue])
    const channel = new LaneChannel(
      connection,
      await connection.channel(),
      this.#queue,
      {
        delivered: (tickets, consumer) => this.#delivered(tickets, consumer),
        returned: () => this.#returned(),
        cancelled: (consumer) => this.#cancelled(consumer),
        closed: (error) => this.#closed(channel, error),
      },
      logger,
    )
    this.#channel = channel
    return channel
  }

  #delivered(tickets: readonly Received[], consumer: string | undefined): void {
    if (consumer !== this.#consumer?.tag && consumer !== this.#cancelling) {
      // In a cluster a message may come after its consumer was cancelled.
      void tickets[0]?.release()
      return
    }
    this.#arrived += 1
    this.#hold(tickets)
    if ((this.#channel?.outstanding ?? 0) >= (this.#consumer?.window ?? 0)) this.#saturated = true
    this.#parts.stirred()
  }

  #returned(): void {
    this.#returnedMs = this.#parts.nowMs()
    this.#parts.stirred()
  }

  /** The broker has cancelled the consumer. The next look at the lane finds out whether the queue still exists. */
  #cancelled(consumer: string): void {
    if (this.#consumer?.tag !== consumer) return
    this.#consumer = undefined
    this.#handBackHeld()
    this.#parts.gone()
  }

  #closed(channel: LaneChannel, error: unknown): void {
    if (this.#channel !== channel) return
    this.#forget()
    if (replyCode(error) === 404) this.#parts.gone()
    if (error !== undefined && !isMendable(error)) this.#failure = this.#failed(error)
    this.#parts.stirred()
  }

  #forget(): void {
    this.#channel = undefined
    this.#consumer = undefined
    this.#cancelling = undefined
    this.#held = []
    this.#extra = []
    getTopology(this.#parts.connection, this.#parts.settings).forget(this.#queue)
  }

  #failed(error: unknown): Error {
    const { connection } = this.#parts
    return driverError(
      `RabbitMQ at ${connection.where} ended the channel of queue "${this.#queue}" (${readMessage(error)})`,
      error,
    )
  }

  /** Repeats after an error that closed the channel: it declares a missing queue again, and does not repeat a forbidden look. */
  async #mended<T>(operation: () => Promise<T>): Promise<T> {
    const { connection } = this.#parts
    const isPassing = (error: unknown): boolean => !connection.ended.aborted && isMendable(error)
    try {
      return await repeat(operation, { tries: 3, isPassing })
    } catch (error) {
      if (connection.ended.aborted) throw connection.reason
      throw isErrandError(error) ? error : this.#failed(error)
    }
  }

  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(operation, operation)
    this.#tail = turn.catch(() => {})
    return turn
  }
}

function isMendable(error: unknown): boolean {
  const code = replyCode(error)
  return code === 404 || code === 403
}
