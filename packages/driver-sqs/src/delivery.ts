import type { Delivery, Ticket } from '@errand/core/ports'
import type { LaneQueue } from './lane-queue.ts'

/** A ticket that was received: hidden from others until it is deleted, handed back, or its visibility ends. */
export class Received implements Delivery {
  readonly ticket: Ticket
  readonly queue: LaneQueue
  readonly receivedMs: number
  readonly #handle: string
  #settled: Promise<void> | undefined

  constructor(ticket: Ticket, handle: string, queue: LaneQueue, receivedMs: number) {
    this.ticket = ticket
    this.queue = queue
    this.receivedMs = receivedMs
    this.#handle = handle
  }

  /** Deletes it, unless it was handed back. @throws `E_DRIVER`: it will come again, and the claim refuses it. */
  ack(): Promise<void> {
    return this.#settle(() => this.queue.delete(this.#handle))
  }

  /** Makes it visible to others at once, unless it was deleted. @throws `E_DRIVER`: it is hidden until its visibility ends. */
  release(): Promise<void> {
    return this.#settle(() => this.queue.handBack(this.#handle))
  }

  get isSettled(): boolean {
    return this.#settled !== undefined
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
