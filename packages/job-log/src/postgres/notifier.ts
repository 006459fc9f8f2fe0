import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import type { Logger, Topic } from '@errand/core/ports'
import { channelOf } from './channels.ts'
import type { Database } from './database.ts'
import { keepAlive } from './socket.ts'

/** A commit with NOTIFY takes a lock of the whole instance: at most this part of the time is spent notifying. */
const share = 1 / 5
const shortestMs = 2
const longestMs = 250

/**
 * Sends wake-ups, debounced at both edges: the first one at once, and what gathers until the next may go as one, each topic
 * once. On a connection of its own and in a transaction of its own, because a commit that notifies keeps all others that
 * notify waiting. A wake-up that cannot be sent is dropped: whoever waits for it polls as well.
 */
export class Notifier {
  /** Tells this process's own wake-ups, which it has delivered already, from others'. */
  readonly sender: string = randomUUID()
  readonly #database: Database
  readonly #logger: Logger
  readonly #pending = new Set<Topic>()
  #client: Promise<Client> | undefined
  #pumping: Promise<void> | undefined
  #closed = false

  constructor(database: Database, logger: Logger) {
    this.#database = database
    this.#logger = logger
  }

  send(topics: readonly Topic[]): void {
    if (this.#closed) return
    for (const topic of topics) this.#pending.add(topic)
    if (this.#pending.size > 0) this.#pumping ??= this.#pump()
  }

  /** Sends what is left, and closes the connection. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#pumping
    const client = await this.#client?.catch(() => undefined)
    if (!client) return
    keepAlive(client, true)
    await client.end().catch(() => {})
  }

  async #pump(): Promise<void> {
    while (this.#pending.size > 0) {
      // Who notifies of a job notifies of its event as well, a moment before or after: one statement for both.
      await turn()
      const topics = [...this.#pending]
      this.#pending.clear()
      const since = performance.now()
      try {
        await this.#notify(topics)
      } catch (error) {
        this.#logger.debug({ reason: (error as Error).message }, 'a wake-up could not be sent')
        this.#hangUp()
      }
      const tookMs = performance.now() - since
      if (!this.#closed) await pause(Math.min(longestMs, Math.max(shortestMs, tookMs / share)))
    }
    this.#pumping = undefined
  }

  async #notify(topics: readonly Topic[]): Promise<void> {
    this.#client ??= this.#connect()
    const client = await this.#client
    const channels = topics.map((topic) => channelOf(this.#database.schema, topic))
    const named = this.#database.options.preparedStatements ? { name: 'errand_notify' } : {}
    const statement = {
      ...named,
      text: 'select pg_notify(channel, $2) from unnest($1::text[]) as t (channel)',
      values: [`{${channels.join(',')}}`, this.sender],
      query_timeout: this.#database.options.statementTimeoutMs,
    }
    // Between wake-ups the connection shall not keep a process alive; under way it must.
    keepAlive(client, true)
    try {
      await client.query(statement)
    } finally {
      keepAlive(client, false)
    }
  }

  /** After a failure, or a deadline, the next wake-up has a new connection. */
  #hangUp(): void {
    this.#client?.then((client) => client.end()).catch(() => {})
    this.#client = undefined
  }

  async #connect(): Promise<Client> {
    const options = this.#database.clientOptions()
    // Nothing is written that could be lost, and waiting for the disk would hold that lock all the while.
    if (options.options !== undefined) options.options += ' -c synchronous_commit=off'
    const client = new Client(options)
    client.on('error', () => {
      this.#client = undefined
    })
    await client.connect()
    return client
  }
}

/** The rest of this turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
