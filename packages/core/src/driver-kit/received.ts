import type { Lane } from '../job/lane.ts'
import type { Ticket } from '../job/ticket.ts'

/** A message that was received: hidden from others until it is acked, handed back, or the broker gives it up. */
export interface ReceivedMessage {
  readonly tickets: readonly Ticket[]
  /** The lane that it came from: a ticket may claim any. Default: what the tickets say. */
  readonly lane?: Lane | undefined
  /** Default 0. */
  readonly receivedMs?: number | undefined
  /**
   * False if it has never been handed out before. Otherwise some of its tickets may be done, so that it is delivered whole:
   * one claim then tells what is left of it. Default true.
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

  /** Names its message, where all tickets of it must be delivered together. */
  get wholeMessage(): object | undefined {
    const { redelivered = true, tickets } = this.#message.parts
    return redelivered && tickets.length > 1 ? this.#message : undefined
  }

  /** Acks the message when it is the last one of it, unless the message was handed back. */
  ack(): Promise<void> {
    return this.#message.ack(this)
  }

  /**
   * Hands the whole message back, unless this ticket or all of them were acked: a message that goes back keeps its place in
   * the lane, and a new one with the rest would be at the end. The log refuses what of it is done.
   */
  release(): Promise<void> {
    return this.#message.release(this)
  }
}

/** The tickets of a message, which share its fate. */
export function openMessage(message: ReceivedMessage): readonly Received[] {
  const settling = new Settling(message)
  return message.tickets.map((ticket) => new Received(ticket, settling))
}

/** Whether a message was acked or handed back: once, whatever becomes of its tickets. */
class Settling {
  readonly parts: ReceivedMessage
  readonly #acked = new Set<Received>()
  #settled: Promise<void> | undefined

  constructor(parts: ReceivedMessage) {
    this.parts = parts
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

  /** Once; what failed may be tried again. */
  #settle(how: () => Promise<void>): Promise<void> {
    this.#settled ??= how().catch((error: unknown) => {
      this.#settled = undefined
      throw error
    })
    return this.#settled
  }
}
