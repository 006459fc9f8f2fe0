import { toFailure } from '../failure/to-failure.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Delivery } from '../ports/driver.ts'
import type { MessageSource, SourceMessage } from './message-source.ts'
import { openMessage } from './received.ts'
import type { Received } from './received.ts'
import { decodeTickets } from './ticket-text.ts'

export interface HandOversOptions {
  /** The driver's name, for the log. */
  readonly driver: string
  readonly queue: QueueName
  readonly logger: Logger
}

/** The messages of a subscription, from arrival to ack or hand-back. If the broker throws for one, the others go on. */
export class HandOvers {
  readonly #options: HandOversOptions
  readonly #unacked = new Set<Received>()
  readonly #settling = new Set<Promise<void>>()

  constructor(options: HandOversOptions) {
    this.#options = options
  }

  /** Returns the tickets of the messages. Sets aside messages that are no tickets. */
  receive(source: MessageSource, messages: readonly SourceMessage[], nowMs: number): Received[] {
    return messages.flatMap(({ text, handle, id, redelivered }) => {
      const { tickets, why } = decodeTickets(text)
      if (tickets) {
        return openMessage({
          tickets,
          lane: source.lane,
          receivedMs: nowMs,
          redelivered,
          ack: () => source.ack(handle),
          release: () => source.release(handle),
        })
      }
      const { logger, driver } = this.#options
      // Without its text, which may hold anything.
      const about = { driver, source: source.name, messageId: id, why }
      logger.warn(about, 'a message that is not a ticket was set aside')
      void this.#settle(source.setAside ? source.setAside(handle) : source.ack(handle))
      return []
    })
  }

  /** A failure costs no job. A failed ack costs a duplicate, which the claim refuses; a failed release only costs time. */
  deliver(received: Received): Delivery {
    this.#unacked.add(received)
    return {
      ticket: received.ticket,
      extra: received.extra,
      ack: async () => {
        this.#unacked.delete(received)
        // Not awaited: it may wait to be sent with others. A close waits for it.
        void this.#settle(received.ack())
      },
      release: async () => {
        this.#unacked.delete(received)
        await this.#settle(received.release())
      },
    }
  }

  handBack(received: readonly Received[]): void {
    for (const each of received) void this.#settle(each.release())
  }

  /** Hands back what was delivered, and neither acked nor released. */
  handBackAll(): void {
    this.handBack([...this.#unacked])
    this.#unacked.clear()
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling)
  }

  /** Never rejects. */
  #settle(settling: Promise<void>): Promise<void> {
    const settled = settling
      .catch((error: unknown) => {
        const { logger, driver, queue } = this.#options
        logger.warn({ driver, queue, error: toFailure(error) }, 'a ticket stays until the broker gives it up')
      })
      .finally(() => this.#settling.delete(settled))
    this.#settling.add(settled)
    return settled
  }
}
