import type { Lane } from '../job/lane.ts'
import type { Ticket } from '../job/ticket.ts'
import type { MessageSource } from './message-source.ts'

/** A ticket that was received: hidden from others until it is acked, handed back, or the broker gives it up. */
export class Received {
  readonly ticket: Ticket
  readonly lane: Lane
  readonly receivedMs: number
  readonly #source: MessageSource
  readonly #handle: unknown
  #settled: Promise<void> | undefined

  constructor(ticket: Ticket, handle: unknown, source: MessageSource, receivedMs: number) {
    this.ticket = ticket
    // A ticket may claim any lane.
    this.lane = source.lane ?? ticket.lane
    this.receivedMs = receivedMs
    this.#source = source
    this.#handle = handle
  }

  /** Unless it was handed back. */
  ack(): Promise<void> {
    return this.#settle(() => this.#source.ack(this.#handle))
  }

  /** Unless it was acked. */
  release(): Promise<void> {
    return this.#settle(() => this.#source.release(this.#handle))
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
