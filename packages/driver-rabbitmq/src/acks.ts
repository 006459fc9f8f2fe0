import type { Channel } from 'amqplib'

/**
 * The unacked deliveries of one channel. Acks of one turn of the event loop go out together, in as few frames as
 * possible: one for all tags up to the first that is still out, and one each for the others.
 */
export class Acks {
  readonly #channel: Channel
  /** In order: the broker counts tags up. */
  readonly #out = new Set<number>()
  readonly #acked = new Set<number>()
  #flushing: Promise<void> | undefined
  #over = false

  constructor(channel: Channel) {
    this.#channel = channel
  }

  /** Deliveries that the broker counts against the prefetch. */
  get outstanding(): number {
    return this.#out.size
  }

  received(tag: number): void {
    this.#out.add(tag)
  }

  /**
   * Resolves when it was written to the socket. If the channel is gone, the ack is forgotten, and the broker delivers
   * again.
   */
  ack(tag: number): Promise<void> {
    if (this.#over || !this.#out.has(tag)) return Promise.resolve()
    this.#acked.add(tag)
    this.#flushing ??= Promise.resolve().then(() => this.flush())
    return this.#flushing
  }

  /** The broker delivers it again, to the first consumer that asks. */
  requeue(tag: number): void {
    this.#settle(tag, () => this.#channel.nack(tagged(tag), false, true))
  }

  /** The broker does not deliver it again. If a policy names a dead-letter exchange, it goes there. */
  setAside(tag: number): void {
    this.#settle(tag, () => this.#channel.nack(tagged(tag), false, false))
  }

  /** Call it when the channel is gone: its tags mean nothing any more. */
  end(): void {
    this.#over = true
    this.#out.clear()
    this.#acked.clear()
  }

  flush(): void {
    this.#flushing = undefined
    if (this.#over || this.#acked.size === 0) return
    let upTo: number | undefined
    for (const tag of this.#out) {
      if (!this.#acked.has(tag)) break
      upTo = tag
    }
    if (upTo !== undefined) {
      this.#send(() => this.#channel.ack(tagged(upTo), true))
      for (const tag of this.#acked) if (tag <= upTo) this.#forget(tag)
    }
    for (const tag of this.#acked) {
      this.#send(() => this.#channel.ack(tagged(tag)))
      this.#forget(tag)
    }
  }

  #settle(tag: number, how: () => void): void {
    if (this.#over || !this.#out.has(tag) || this.#acked.has(tag)) return
    this.#out.delete(tag)
    this.#send(how)
  }

  #forget(tag: number): void {
    this.#acked.delete(tag)
    this.#out.delete(tag)
  }

  /**
   * amqplib throws at once if the channel has just gone. Then there is nothing to send, and the broker delivers again.
   */
  #send(frame: () => void): void {
    try {
      frame()
    } catch {
      this.end()
    }
  }
}

/** The part of a message that amqplib reads to ack it. */
function tagged(deliveryTag: number): Parameters<Channel['ack']>[0] {
  return { fields: { deliveryTag } } as Parameters<Channel['ack']>[0]
}
