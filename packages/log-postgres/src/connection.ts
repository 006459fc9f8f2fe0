import { Client } from 'pg'
import type { ClientConfig } from 'pg'
import { outside } from '@errand/core/ports'
import { isLostConnection } from './failures.ts'
import { HostError } from './hosts.ts'
import type { Hosts, SessionKind } from './hosts.ts'
import { hangUp, toldBy } from './socket.ts'

export interface ConnectionOptions extends ClientConfig {
  readonly hosts: Hosts
  readonly sessions: SessionKind
  /** How long to wait for an answer of this server. */
  readonly connectMs: number
}

/** A server that answers but is read-only. */
class ReadOnlyError extends Error {
  override readonly name = 'ReadOnlyError'
  readonly code = '25006'
}

/** A connection to the server whose turn it is. A read-only server is refused before the connection is used. */
export class Connection extends Client {
  /** When it was made, and when it was last given back: by the process's clock, ms. */
  readonly madeMs: number = performance.now()
  usedMs: number = this.madeMs
  readonly #url: string
  readonly #options: ConnectionOptions
  readonly #told: ReadonlyMap<string, string>
  /** The server said that it was writable when the connection was made. */
  #wasWritable = false

  constructor(options: ConnectionOptions) {
    const { hosts, sessions: _, connectMs, ...config } = options
    super({ ...config, connectionString: hosts.url, connectionTimeoutMillis: connectMs })
    this.#url = hosts.url
    this.#options = options
    this.#told = toldBy(this)
  }

  /**
   * Its server has become read-only since then: from version 14 on, it says so with its next answer. A process that
   * only reads would not notice otherwise, and would read old data for ever.
   */
  get hasTurned(): boolean {
    return this.#wasWritable && !this.#isWritable
  }

  get #isWritable(): boolean {
    return this.#told.get('default_transaction_read_only') === 'off'
  }

  override connect(): Promise<Client>
  override connect(callback: (error: Error | null) => void): void
  override connect(callback?: (error: Error | null) => void): Promise<Client> | void {
    // Its socket keeps the async context in which it was made. The context of a request would live as long as the
    // connection.
    const connecting = outside(() => this.#connect())
    if (!callback) return connecting
    // The pool calls it so.
    void connecting.then(
      () => process.nextTick(callback, null),
      (error: unknown) => process.nextTick(callback, error as Error),
    )
  }

  async #connect(): Promise<Client> {
    const { hosts } = this.#options
    try {
      await super.connect()
      await this.#check()
      return this
    } catch (error) {
      this.on('error', () => {})
      hangUp(this)
      // A wrong password is wrong at the next server as well.
      if (hosts.count === 1 || !(error instanceof ReadOnlyError || isLostConnection(error))) throw error
      hosts.failed(this.#url)
      throw new HostError(this.#url, error)
    }
  }

  /** @throws `ReadOnlyError` */
  async #check(): Promise<void> {
    const { sessions, connectMs } = this.#options
    if (sessions === 'any') return
    const needsWrites = sessions === 'read-write'
    // From version 14 on, the server itself says so. A pooler may say nothing, or something old.
    const isPrimary = this.#told.get('in_hot_standby') === 'off'
    this.#wasWritable = needsWrites && this.#isWritable
    if (isPrimary && (this.#isWritable || !needsWrites)) return
    const asked = {
      text: `select pg_is_in_recovery()::text, current_setting('transaction_read_only')`,
      rowMode: 'array' as const,
      query_timeout: connectMs,
    }
    const { rows } = await this.query<[string, string]>(asked)
    if (rows[0]?.[0] === 'true') throw new ReadOnlyError('the server is a standby, which is read-only')
    if (needsWrites && rows[0]?.[1] === 'on')
      throw new ReadOnlyError('transactions are read-only there by default (default_transaction_read_only)')
  }
}
