import type { ConfirmChannel, Message } from 'amqplib'
import { waitFor } from '@errand/core/ports'
import type { Connection } from './connection.ts'

export interface Outgoing {
  readonly queue: string
  readonly content: Buffer
}

/** `returned`: there is no such queue. `unknown`: it may be on the broker. */
export type Fate = 'accepted' | 'refused' | 'returned' | 'unknown'

/** A confirm channel. Messages are pipelined, and each one's fate is known when the broker tells it. */
export class Confirms {
  readonly #connection: Connection
  readonly #channel: ConfirmChannel
  /** The numbers of messages that have come back: the broker says so just before it confirms them. */
  readonly #returned = new Set<string>()
  /** For each batch under way, the queues from which any message has come back since its start. */
  readonly #gone = new Set<Set<string>>()
  #published = 0
  #confirmed = 0
  #failure: unknown

  constructor(connection: Connection, channel: ConfirmChannel) {
    this.#connection = connection
    this.#channel = channel
    channel.on('error', (error) => (this.#failure = error))
    // Runs before amqplib calls the callbacks, because it reports a closed channel like a refusal.
    channel.prependListener('close', () => (this.#failure ??= new Error('channel closed')))
    channel.on('return', ({ properties, fields }: Message) => {
      this.#returned.add(String(properties.messageId))
      for (const gone of this.#gone) gone.add(fields.routingKey)
    })
  }

  /** Why it is unusable. Undefined while it works. */
  get failure(): unknown {
    return this.#connection.ended.aborted ? this.#connection.reason : this.#failure
  }

  /** Counts every answer, to tell a slow broker from one that is gone. */
  get confirmed(): number {
    return this.#confirmed
  }

  /**
   * Publishes all, and resolves with each one's fate: when all are known, or with `unknown` for the rest when the signal
   * aborts, the broker blocks, or the channel ends. `unknown` as well for what was confirmed beside something that came
   * back from the same queue: RabbitMQ 4.3 confirms what it drops while it deletes a queue.
   */
  async send(messages: readonly Outgoing[], signal: AbortSignal): Promise<readonly Fate[]> {
    const gone = new Set<string>()
    this.#gone.add(gone)
    try {
      const fates = await this.#send(messages, signal)
      return messages.map(({ queue }, index) => {
        const fate = fates[index] ?? 'unknown'
        return fate === 'accepted' && gone.has(queue) ? 'unknown' : fate
      })
    } finally {
      this.#gone.delete(gone)
    }
  }

  async #send(messages: readonly Outgoing[], signal: AbortSignal): Promise<readonly Fate[]> {
    const fates: Fate[] = messages.map(() => 'unknown')
    const done = Promise.withResolvers<void>()
    let open = messages.length
    const settle = (index: number, fate: Fate): void => {
      fates[index] = fate
      open -= 1
      if (open === 0) done.resolve()
    }
    const giveUp = (): void => done.resolve()
    const ended = AbortSignal.any([signal, this.#connection.ended])
    if (ended.aborted || messages.length === 0) return fates
    ended.addEventListener('abort', giveUp, { once: true })
    this.#channel.once('close', giveUp)
    this.#connection.onBlocked(giveUp)
    try {
      for (const [index, message] of messages.entries()) {
        const room = this.#publish(message, (fate) => settle(index, fate))
        if (!room) await this.#drained(ended)
        if (ended.aborted || this.failure !== undefined) return fates
      }
      await done.promise
      return fates
    } finally {
      ended.removeEventListener('abort', giveUp)
      this.#channel.off('close', giveUp)
      this.#connection.offBlocked(giveUp)
    }
  }

  /** Returns false if amqplib wants no more for now. */
  #publish({ queue, content }: Outgoing, settled: (fate: Fate) => void): boolean {
    this.#published += 1
    // Counted, not the ticket's id: one ticket may be published twice at a time.
    const messageId = String(this.#published)
    const properties = {
      persistent: true,
      // Unroutable messages are confirmed too: only this brings them back.
      mandatory: true,
      messageId,
      contentType: 'application/json',
      type: 'errand.ticket',
    }
    try {
      return this.#channel.sendToQueue(queue, content, properties, (error: unknown) => {
        settled(this.#fate(messageId, error))
      })
    } catch (error) {
      this.#failure ??= error
      return true
    }
  }

  #fate(messageId: string, error: unknown): Fate {
    this.#confirmed += 1
    const returned = this.#returned.delete(messageId)
    // The channel ended before the broker answered: the broker may have the message.
    if (this.failure !== undefined) return 'unknown'
    if (error !== null && error !== undefined) return 'refused'
    return returned ? 'returned' : 'accepted'
  }

  /** Resolves when there is room again, or when it is certain that there never will be. */
  #drained(ended: AbortSignal): Promise<void> {
    return waitFor(ended, undefined, (resolve) => {
      const go = (): void => resolve(undefined)
      this.#channel.once('drain', go).once('close', go)
      return () => this.#channel.off('drain', go).off('close', go)
    })
  }
}
