import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import type { Logger, Topic } from '@errand/core/ports'
import { toChannel } from './channels.ts'
import type { Behind, Database } from './database.ts'
import { hangUp, keepAlive } from './socket.ts'

/** A commit with NOTIFY locks the whole instance. Notifying may take at most this share of the time. */
const share = 1 / 5
const shortestMs = 2
const longestMs = 250
/** A wake-up that takes longer is late anyway, and the network may have forgotten the connection. */
const answerMs = 5_000

/**
 * This transaction writes nothing that could be lost, and waiting for the disk would hold that lock. Set for this
 * transaction only: the connection may be one that stores jobs.
 */
const text = `select set_config('synchronous_commit', 'off', true), pg_notify(channel, $2)
  from unnest($1::text[]) as t (channel)`
const name = 'errand_notify'

/**
 * Sends wake-ups, debounced at both edges: the first one at once, and what gathers until the next may go as one, each topic
 * once. In a transaction of its own, because a commit that notifies keeps all others that notify waiting: right behind
 * the statement that they tell of, or on a connection of its own. A wake-up that cannot be sent is dropped: who waits
 * for it polls as well.
 */
export class Notifier {
  /** Distinguishes this process's own wake-ups, which it has delivered already, from others'. */
  readonly sender: string = randomUUID()
  readonly #database: Database
  readonly #logger: Logger
  readonly #pending = new Set<Topic>()
  #client: Promise<Client> | undefined
  #pumping: Promise<void> | undefined
  /** Statements sent behind others that have not been answered. */
  #behind = 0
  #closed = false

  constructor(database: Database, logger: Logger) {
    this.#database = database
    this.#logger = logger
    database.connections.onSuspicion(() => this.#hangUp())
  }

  send(topics: readonly Topic[]): void {
    if (this.#closed) return
    for (const topic of topics) this.#pending.add(topic)
    if (this.#pending.size > 0) this.#pumping ??= this.#pump()
  }

  /**
   * The same, right behind a statement: that saves its answer's way to this process and back. Undefined while others are
   * being sent or were a moment ago; then, and where it was not made use of, `send` is the way. One whose commit waits for
   * somebody else's keeps its connection waiting, and no second one.
   */
  behind(topics: readonly Topic[]): (Behind & { readonly used: boolean }) | undefined {
    if (this.#closed || this.#pumping || this.#behind > 0 || topics.length === 0) return undefined
    let used = false
    const getValues = (): readonly [string, string] => this.#values(topics)
    return {
      name,
      text,
      // Made when the other statement was sent, while it is under way.
      get values() {
        return getValues()
      },
      get used() {
        return used
      },
      sent: (other, own) => {
        used = true
        // If it failed, the wake-up told of nothing, and came too early for the next try.
        other.catch(() => (used = false))
        this.#behind += 1
        this.#pumping ??= this.#follow(other, own)
        own.catch(() => this.send(topics)).finally(() => (this.#behind -= 1))
      },
    }
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
      // A job and its event are notified almost together: one statement for both.
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
      await this.#rest(performance.now() - since)
    }
    this.#pumping = undefined
  }

  /** The time of a statement behind another one counts from the end of that one. */
  async #follow(other: Promise<unknown>, own: Promise<unknown>): Promise<void> {
    await other.catch(() => {})
    const since = performance.now()
    // A missing answer must not delay the wake-ups after it.
    await Promise.race([own.catch(() => {}), pause(longestMs, undefined, { ref: false })])
    await this.#rest(performance.now() - since)
    await this.#pump()
  }

  async #rest(tookMs: number): Promise<void> {
    if (!this.#closed) await pause(Math.min(longestMs, Math.max(shortestMs, tookMs / share)))
  }

  #values(topics: readonly Topic[]): readonly [string, string] {
    const channels = topics.map((topic) => toChannel(this.#database.schema, topic))
    return [`{${channels.join(',')}}`, this.sender]
  }

  async #notify(topics: readonly Topic[]): Promise<void> {
    this.#client ??= this.#connect()
    const client = await this.#client
    const statement = {
      ...(this.#database.options.preparedStatements ? { name } : {}),
      text,
      values: [...this.#values(topics)],
      query_timeout: answerMs,
    }
    // Between wake-ups the connection must not keep a process alive. During one it must.
    keepAlive(client, true)
    try {
      await client.query(statement)
    } finally {
      keepAlive(client, false)
    }
  }

  /** After a failure, or a deadline, the next wake-up has a new connection. */
  #hangUp(): void {
    this.#client?.then(hangUp).catch(() => {})
    this.#client = undefined
  }

  async #connect(): Promise<Client> {
    const client = await this.#database.connections.open()
    client.on('error', () => {
      this.#client = undefined
    })
    keepAlive(client, false)
    return client
  }
}

/** The rest of this turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
