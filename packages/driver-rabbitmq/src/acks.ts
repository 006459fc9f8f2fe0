import type { Channel } from 'amqplib'

/**
 * The unacked deliveries of one channel. Acks of one turn of the event loop go out together, as few frames as possible:
 * one for every tag up to the first that is still out, and one each for those behind it.
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

  /** Resolves when it has been handed to the socket. Of a channel that is gone it is forgotten: the broker delivers anew. */
  ack(tag: number): Promise<void> {
    if (this.#over || !this.#out.has(tag)) return Promise.resolve()
    this.#acked.add(tag)
    this.#flushing ??= Promise.resolve().then(() => this.flush())
    return this.#flushing
  }

  /** The broker shall hand it out again, to whoever asks first. */
  requeue(tag: number): void {
    this.#settle(tag, () => this.#channel.nack(tagged(tag), false, true))
  }

  /** The broker shall not hand it out again; where a policy names a dead-letter exchange it goes there. */
  setAside(tag: number): void {
    this.#settle(tag, () => this.#channel.nack(tagged(tag), false, false))
  }

  /** The channel is gone, and with it the meaning of its tags. */
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

  /** amqplib throws at once where the channel has just gone: then there is nothing to tell, the broker delivers anew. */
  #send(frame: () => void): void {
    try {
      frame()
    } catch {
      this.end()
    }
  }
}

/** All that amqplib reads of a message to ack it. */
function tagged(deliveryTag: number): Parameters<Channel['ack']>[0] {
  return { fields: { deliveryTag } } as Parameters<Channel['ack']>[0]
}
