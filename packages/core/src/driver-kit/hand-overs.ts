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

/** What a subscription has received, from its arrival to its end. What a broker throws about one costs the others nothing. */
export class HandOvers {
  readonly #options: HandOversOptions
  readonly #unacked = new Set<Received>()
  readonly #settling = new Set<Promise<void>>()

  constructor(options: HandOversOptions) {
    this.#options = options
  }

  /** The tickets among the messages; what is none is set aside. */
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
      // Not its text: nobody knows what is in it.
      const about = { driver, source: source.name, messageId: id, why }
      logger.warn(about, 'a message that is not a ticket was set aside')
      void this.#settle(source.setAside ? source.setAside(handle) : source.ack(handle))
      return []
    })
  }

  /** A failure costs a duplicate or latency, never a job: the claim refuses the one, the broker ends the other. */
  deliver(received: Received): Delivery {
    this.#unacked.add(received)
    return {
      ticket: received.ticket,
      ack: async () => {
        this.#unacked.delete(received)
        // Not awaited: it may gather with others. A close waits for it.
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

  /** What was delivered, and neither acked nor released. */
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
