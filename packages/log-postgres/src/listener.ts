import type { Client, QueryConfig } from 'pg'
import { systemClock, unlessAborted } from '@errand/core/ports'
import type { Logger, Topic, TopicBus } from '@errand/core/ports'
import { toChannel } from './channels.ts'
import type { Database } from './database.ts'
import { hangUp, keepAlive } from './socket.ts'

const firstBackoffMs = 100
const longestBackoffMs = 3_000
/** A connection that the network has forgotten is silent, so it is pinged. */
const pingEveryMs = 5_000
const answerMs = 3_000

/**
 * Receives wake-ups, on one connection for all listeners of this process. After a lost connection it listens again,
 * with jittered backoff. Then it wakes everybody, because something may have been missed.
 */
export class Listener {
  readonly #database: Database
  readonly #logger: Logger
  readonly #sender: string
  readonly #bus: TopicBus
  /** Channel → its topic and how many listen to it. */
  readonly #wanted = new Map<string, { readonly topic: Topic; users: number }>()
  #client: Client | undefined
  #connecting: Promise<void> | undefined
  #ping: NodeJS.Timeout | undefined
  /** The previous statement on this connection. pg takes one at a time, and from version 9 refuses a second one. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #closing = new AbortController()

  constructor(database: Database, logger: Logger, bus: TopicBus, sender: string) {
    this.#database = database
    this.#logger = logger
    this.#bus = bus
    this.#sender = sender
    database.connections.onSuspicion(() => this.#drop(this.#client))
  }

  /** Yields `started` once it really listens, then topics. */
  async *listen(topics: readonly Topic[], signal: AbortSignal): AsyncGenerator<Topic | 'started', void> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    const channels = topics.map((topic) => toChannel(this.#database.schema, topic))
    for (const [index, channel] of channels.entries()) this.#want(channel, topics[index]!)
    try {
      await this.#listening(channels, stop)
      yield* this.#bus.listen(topics, stop)
    } finally {
      for (const channel of channels) this.#leave(channel)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#ping)
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => {})
  }

  #want(channel: string, topic: Topic): void {
    const wanted = this.#wanted.get(channel)
    if (wanted) wanted.users += 1
    else this.#wanted.set(channel, { topic, users: 1 })
  }

  #leave(channel: string): void {
    const wanted = this.#wanted.get(channel)
    if (!wanted) return
    wanted.users -= 1
    if (wanted.users > 0) return
    this.#wanted.delete(channel)
    if (this.#wanted.size === 0) this.#hangUp()
    else if (this.#client) this.#ask(this.#client, `unlisten "${channel}"`).catch(() => {})
  }

  #hangUp(): void {
    clearInterval(this.#ping)
    const client = this.#client
    this.#client = undefined
    client?.end().catch(() => {})
  }

  async #listening(channels: readonly string[], stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const client = this.#client
      if (client) {
        try {
          await this.#ask(client, channels.map((channel) => `listen "${channel}"`).join('; '))
          return
        } catch {
          this.#drop(client)
        }
      } else await unlessAborted(this.#connect(), stop, () => undefined)
    }
  }

  /** Resolves when there is a connection, or nobody wants one any more. */
  #connect(): Promise<void> {
    this.#connecting ??= this.#dial().finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  async #dial(): Promise<void> {
    for (let backoffMs = firstBackoffMs; this.#wanted.size > 0 && !this.#closing.signal.aborted;) {
      let client: Client | undefined
      try {
        client = await this.#database.connections.open((opened) => this.#hear(opened))
        keepAlive(client, false)
        const channels = [...this.#wanted.keys()]
        await client.query(channels.map((channel) => `listen "${channel}"`).join('; '))
        if (this.#closing.signal.aborted) {
          await client.end()
          return
        }
        this.#last = Promise.resolve()
        this.#client = client
        this.#watch(client)
        this.#bus.notifyAll()
        return
      } catch (error) {
        this.#logger.warn(
          { place: this.#database.place, reason: (error as Error).message },
          'listening to the job log failed; workers poll until it works again',
        )
        if (client) hangUp(client)
        await systemClock.sleep(backoffMs * (0.5 + Math.random() / 2), this.#closing.signal)
        backoffMs = Math.min(longestBackoffMs, backoffMs * 2)
      }
    }
  }

  #hear(client: Client): void {
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    client.on('notification', ({ channel, payload }) => {
      const wanted = this.#wanted.get(channel)
      if (wanted && payload !== this.#sender) this.#bus.notify([wanted.topic])
    })
  }

  #watch(client: Client): void {
    clearInterval(this.#ping)
    this.#ping = setInterval(() => {
      this.#ask(client, 'select 1').catch(() => this.#drop(client))
    }, pingEveryMs)
    this.#ping.unref()
  }

  #ask(client: Client, text: string): Promise<unknown> {
    const asked = this.#last.then(() => client.query({ text, query_timeout: answerMs } as QueryConfig))
    this.#last = asked.catch(() => {})
    return asked
  }

  /** At once: a server that does not answer does not answer a goodbye either. */
  #drop(client: Client | undefined): void {
    if (!client) return
    hangUp(client)
    this.#lost(client)
  }

  #lost(client: Client): void {
    if (this.#client !== client) return
    this.#client = undefined
    clearInterval(this.#ping)
    if (this.#wanted.size > 0 && !this.#closing.signal.aborted) void this.#connect()
  }
}
