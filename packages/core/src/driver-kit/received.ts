import type { Lane } from '../job/lane.ts'
import type { Ticket } from '../job/ticket.ts'

/** A message that was received. The broker hides it from others until it is acked or handed back, or its time is over. */
export interface ReceivedMessage {
  readonly tickets: readonly Ticket[]
  /** The lane that it came from: a ticket may name any lane. Default: the lane that the tickets name. */
  readonly lane?: Lane | undefined
  /** Default 0. */
  readonly receivedMs?: number | undefined
  /**
   * False if it has never been handed out before. Otherwise some of its tickets may be done, so it is delivered whole, and
   * one claim shows which tickets are left. Default true.
   */
  readonly redelivered?: boolean | undefined
  /** The broker may forget the message. */
  ack(): Promise<void>
  /** Asks the broker to hand the message out again. */
  release(): Promise<void>
}

/** One ticket of a message that was received. */
export class Received {
  readonly ticket: Ticket
  /** It was not asked for: it is delivered because its message is delivered whole. */
  extra = false
  readonly #message: Settling

  constructor(ticket: Ticket, message: Settling) {
    this.ticket = ticket
    this.#message = message
  }

  get lane(): Lane {
    return this.#message.parts.lane ?? this.ticket.lane
  }

  get receivedMs(): number {
    return this.#message.parts.receivedMs ?? 0
  }

  /** Identifies its message. */
  get message(): object {
    return this.#message
  }

  /** Identifies its message, if all its tickets must be delivered together. */
  get wholeMessage(): object | undefined {
    const { redelivered = true, tickets } = this.#message.parts
    return redelivered && tickets.length > 1 ? this.#message : undefined
  }

  /** Neither acked nor handed back yet. */
  get isOut(): boolean {
    return this.#message.isOut(this)
  }

  /** Acks the message once all its tickets are acked, unless the message was handed back. */
  ack(): Promise<void> {
    return this.#message.ack(this)
  }

  /**
   * Hands the whole message back, unless this ticket or all of them were acked. A message that goes back keeps its place in
   * the lane; a new message with the rest would go to the end. The log refuses the tickets that are done.
   */
  release(): Promise<void> {
    return this.#message.release(this)
  }
}

/** The tickets of a message. They are acked or handed back together. */
export function openMessage(message: ReceivedMessage): readonly Received[] {
  const settling = new Settling(message)
  return message.tickets.map((ticket) => new Received(ticket, settling))
}

/** Acks a message or hands it back: once, whatever its tickets ask for. */
class Settling {
  readonly parts: ReceivedMessage
  readonly #acked = new Set<Received>()
  #settled: Promise<void> | undefined

  constructor(parts: ReceivedMessage) {
    this.parts = parts
  }

  isOut(received: Received): boolean {
    return this.#settled === undefined && !this.#acked.has(received)
  }

  ack(received: Received): Promise<void> {
    this.#acked.add(received)
    if (this.#acked.size < this.parts.tickets.length) return Promise.resolve()
    return this.#settle(() => this.parts.ack())
  }

  release(received: Received): Promise<void> {
    if (this.#acked.has(received) && this.#settled === undefined) return Promise.resolve()
    return this.#settle(() => this.parts.release())
  }

  /** Runs once. After a failure it may be tried again. */
  #settle(how: () => Promise<void>): Promise<void> {
    this.#settled ??= how().catch((error: unknown) => {
      this.#settled = undefined
      throw error
    })
    return this.#settled
  }
}
