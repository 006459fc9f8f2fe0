import { Pool } from 'pg'
import type { ClientConfig, PoolClient, PoolConfig } from 'pg'
import { outside } from '@errand/core/ports'
import type { Logger } from '@errand/core/ports'
import { Connection } from './connection.ts'
import type { ConnectionOptions } from './connection.ts'
import { isServerFull } from './failures.ts'
import { Hosts } from './hosts.ts'
import { whenRead } from './late.ts'
import type { ResolvedOptions } from './options.ts'
import { hangUp } from './socket.ts'
import { Watch } from './watch.ts'

/** How long a statement waits for a place on a server whose connections are all in use, in milliseconds. */
const fullServerMs = 5_000
/** Networks forget idle connections. The kernel probes them this often, and ends those without an answer. */
const keepAliveMs = 10_000
/**
 * A connection that was idle for this long is checked before a statement that must not run twice: if it were lost on the way,
 * nobody would know whether it ran.
 */
const trustedIdleMs = 2_000
/** How long a trivial answer may take. */
const answerMs = 3_000
/** All servers that do not answer share this time, because a failover must not take longer. */
const allHostsMs = 6_000
const leastConnectMs = 1_500

const raw = { getTypeParser: () => (value: string) => value }

/**
 * The connections of a log, to the one of its servers that is writable. A connection that was lost without a sign, or
 * that leads to a read-only server, makes all older ones suspect: those are not used again.
 */
export class Connections {
  readonly #options: ResolvedOptions
  readonly #hosts: Hosts
  readonly #pool: Pool
  /** Watches connections that have been quiet for a while. */
  readonly watch: Watch = new Watch(() => this.open())
  readonly #suspected = new Set<() => void>()
  #suspectedMs = Number.NEGATIVE_INFINITY
  #closing: Promise<void> | undefined

  constructor(options: ResolvedOptions, logger: Logger, place: string) {
    this.#options = options
    this.#hosts = new Hosts(options.urls)
    const config: ConnectionOptions & PoolConfig = {
      ...this.#config(),
      // For a place in the pool as well.
      connectionTimeoutMillis: Math.min(options.statementTimeoutMs, 10_000),
      max: options.poolSize,
      idleTimeoutMillis: 60_000,
      // A script that has dispatched its jobs may end. Other things keep workers alive.
      allowExitOnIdle: true,
      // Only statements with `inLine` and `behind` use this. All others have their connection for themselves.
      pipeline: true,
      // Made by the pool with these options, as pg's own types do not say.
      Client: Connection as unknown as NonNullable<PoolConfig['Client']>,
    }
    this.#pool = new Pool(config)
    // Without listeners, a broken connection would end the process: while it is idle, and while it is in use, when the
    // statement fails as well.
    this.#pool.on('error', (error) => {
      logger.debug({ place, reason: error.message }, 'an idle connection of the job log was lost')
    })
    this.#pool.on('connect', (client) => client.on('error', () => {}))
    this.#pool.on('release', (_, client) => {
      toConnection(client).usedMs = performance.now()
    })
  }

  /**
   * A connection for a statement.
   * @param isChecked it was just made, or has just answered. Without this, a statement saves a round trip after a quiet time.
   */
  async take(isChecked: boolean): Promise<PoolClient> {
    for (;;) {
      const client = await this.#take()
      if (await this.#isSound(client, isChecked)) return client
      hangUp(client)
      giveBack(client, true)
    }
  }

  /** A separate connection, for the listener and the notifier. */
  async open(prepare: (client: Connection) => void = () => {}): Promise<Connection> {
    return this.#hosts.inTurn(async () => {
      const client = new Connection(this.#config())
      prepare(client)
      await client.connect()
      return client
    })
  }

  /** Connections that were made before are not used again. */
  suspect(): void {
    this.#suspectedMs = performance.now()
    for (const tell of this.#suspected) tell()
  }

  /** Whether it leads to a server that has become read-only. Then all others do so too. */
  hasTurned(client: PoolClient): boolean {
    const { hasTurned } = toConnection(client)
    if (hasTurned) this.suspect()
    return hasTurned
  }

  /** Calls back, for parts with connections of their own. */
  onSuspicion(tell: () => void): void {
    this.#suspected.add(tell)
  }

  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.end()
    return this.#closing
  }

  get isClosing(): boolean {
    return this.#closing !== undefined
  }

  /** A server without a free connection soon has one again, and nothing was sent: it is asked for a while. */
  async #take(): Promise<PoolClient> {
    const untilMs = performance.now() + Math.min(fullServerMs, this.#options.statementTimeoutMs)
    for (;;) {
      try {
        return await this.#hosts.inTurn(() => this.#pool.connect())
      } catch (error) {
        if (!isServerFull(error) || performance.now() > untilMs || this.isClosing) throw error
        await pause(20 + Math.random() * 180)
      }
    }
  }

  async #isSound(client: PoolClient, isChecked: boolean): Promise<boolean> {
    const { madeMs, usedMs } = toConnection(client)
    if (madeMs <= this.#suspectedMs) return false
    if (!isChecked || performance.now() - usedMs < trustedIdleMs) return true
    if (await answers(client)) return true
    this.suspect()
    return false
  }

  #config(): ConnectionOptions {
    const { urls, sessions, statementTimeoutMs, listen } = this.#options
    const config: ClientConfig = {
      fallback_application_name: 'errand',
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveMs,
      types: raw,
      // A pooler would refuse the parameter. Then only the client's own deadline counts. No statement here is worth
      // compiling, but over many partitions the planner would do it.
      ...(listen ? { statement_timeout: statementTimeoutMs, options: '-c jit=off' } : {}),
    }
    const connectMs = Math.min(statementTimeoutMs, Math.max(leastConnectMs, allHostsMs / urls.length))
    return { ...config, hosts: this.#hosts, sessions, connectMs }
  }
}

/** Gives it back to the pool, outside of any request: the pool's timers must not keep the context of a request. */
export function giveBack(client: PoolClient, broken: boolean): void {
  outside(() => client.release(broken))
}

/** Every connection of the pool is one, because the pool makes them from this class. */
function toConnection(client: PoolClient): Connection {
  return client as unknown as Connection
}

async function answers(client: PoolClient): Promise<boolean> {
  const silence = Promise.withResolvers<boolean>()
  const cancel = whenRead(answerMs, () => silence.resolve(false))
  const answer = client.query('select 1').then(
    () => true,
    () => false,
  )
  const answered = await Promise.race([answer, silence.promise])
  cancel()
  return answered
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
