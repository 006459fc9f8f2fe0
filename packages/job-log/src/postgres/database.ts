import { Pool } from 'pg'
import type { ClientConfig, PoolClient } from 'pg'
import { ErrandError } from '@errand/core/ports'
import type { Logger } from '@errand/core/ports'
import { isLostConnection, isServerFull, isTakenBack, logError } from './failures.ts'
import { Line } from './line.ts'
import { quoteSchema } from './names.ts'
import type { ResolvedOptions } from './options.ts'
import { placeOf } from './options.ts'
import { hangUp } from './socket.ts'

/** A column as the wire has it. Parsing is the decoders' business: they know what is a number. */
export type Column = string | null
export type Row = readonly Column[]
export type Value = string | number | boolean | null

export interface QueryOptions {
  /** Ask once more when the connection was lost on the way: only where asking twice is answered as once. Default true. */
  readonly repeatable?: boolean | undefined
  /** Milliseconds instead of `statementTimeout`. */
  readonly deadlineMs?: number | undefined
  /**
   * On one connection with all others that say so, right behind them: the server carries them out in the order of the
   * calls, and no time is lost between two of them. Each is still a transaction of its own.
   */
  readonly inLine?: boolean | undefined
  readonly behind?: Behind | undefined
}

/** A statement that is sent right behind another one, on its connection, and is a transaction of its own. */
export interface Behind {
  readonly name: string
  readonly text: string
  readonly values: readonly Value[]
  /** It is on its way, once for each time that the other one is: what becomes of both is the caller's to watch. */
  sent(other: Promise<unknown>, own: Promise<unknown>): void
}

/** Runs statements on one connection, for those that need several in one transaction. */
export type Run = (text: string, values?: readonly Value[]) => Promise<readonly Row[]>

const mostTries = 8
/** The server ends a statement first; where it cannot be heard any more, the connection is destroyed a little later. */
const deadlineMarginMs = 1_000
/** How long a statement waits for a place on a server whose connections are all in use, in milliseconds. */
const fullServerMs = 5_000
const raw = { getTypeParser: () => (value: string) => value }

/** Connections to the log's database: prepared statements, deadlines, and repetition of what the database took back. */
export class Database {
  /** Quoted. */
  readonly schema: string
  /** Host, port and database, for people. */
  readonly place: string
  readonly options: ResolvedOptions
  readonly #pool: Pool
  #line: Line | undefined
  #closing: Promise<void> | undefined

  constructor(options: ResolvedOptions, logger: Logger) {
    this.options = options
    this.schema = quoteSchema(options.schema)
    this.place = placeOf(options)
    this.#pool = new Pool({
      ...this.clientOptions(),
      max: options.poolSize,
      idleTimeoutMillis: 60_000,
      // A script that has dispatched its jobs may end; workers have other things that keep them alive.
      allowExitOnIdle: true,
      // Only statements `inLine` and `behind` make use of it: all others have their connection for themselves.
      pipeline: true,
    })
    // Without listeners, a connection that breaks would end the process: while it is idle, and while it is in use, where
    // the statement hears of it as well.
    this.#pool.on('error', (error) => {
      logger.debug({ place: this.place, reason: error.message }, 'an idle connection of the job log was lost')
    })
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  /** For connections of one's own: the listener's and the notifier's. */
  clientOptions(): ClientConfig {
    const { url, statementTimeoutMs, listen } = this.options
    return {
      connectionString: url,
      fallback_application_name: 'errand',
      connectionTimeoutMillis: Math.min(statementTimeoutMs, 10_000),
      keepAlive: true,
      types: raw,
      // A pooler would refuse the parameter; there, the client's own deadline is all there is.
      // No statement here is worth compiling, and over many partitions the planner believes otherwise.
      ...(listen ? { statement_timeout: statementTimeoutMs, options: '-c jit=off' } : {}),
    }
  }

  /** One statement, prepared under `name` where that is allowed. */
  async query(
    name: string,
    text: string,
    values: readonly Value[] = [],
    options: QueryOptions = {},
  ): Promise<readonly Row[]> {
    let again = options.repeatable ?? true
    for (let tries = 1; ; tries++) {
      try {
        const send = (client: PoolClient): Promise<readonly Row[]> => {
          const answer = this.#send(client, name, text, values)
          const { behind } = options
          if (behind) behind.sent(answer, this.#send(client, behind.name, behind.text, behind.values))
          return answer
        }
        return await (options.inLine === true
          ? this.#withLine(options.deadlineMs, send)
          : this.#withClient(options.deadlineMs, send))
      } catch (error) {
        if (isTakenBack(error) && tries < mostTries) await pause(Math.random() * 10 * 2 ** Math.min(tries, 4))
        // Most often a connection that was lost while it was idle; a database that is down says so the second time.
        else if (again && isLostConnection(error) && !isDeadline(error)) again = false
        else throw logError(error, this.place)
      }
    }
  }

  /** Several statements in one transaction, READ COMMITTED; rolled back when `work` throws. */
  async transaction<T>(work: (run: Run) => Promise<T>, options: QueryOptions = {}): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#withClient(options.deadlineMs, async (client) => {
          const run: Run = (text, values) => this.#send(client, undefined, text, values ?? [])
          await run('begin isolation level read committed')
          try {
            const result = await work(run)
            await run('commit')
            return result
          } catch (error) {
            if (!isLostConnection(error)) await run('rollback')
            throw error
          }
        })
      } catch (error) {
        if (!isTakenBack(error) || tries >= mostTries) throw logError(error, this.place)
        await pause(Math.random() * 10 * 2 ** Math.min(tries, 4))
      }
    }
  }

  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.end()
    return this.#closing
  }

  /** A server without a free connection soon has one again, and nothing has been sent: it is asked for a while. */
  async #connect(): Promise<PoolClient> {
    const untilMs = performance.now() + Math.min(fullServerMs, this.options.statementTimeoutMs)
    for (;;) {
      try {
        return await this.#pool.connect()
      } catch (error) {
        if (!isServerFull(error) || performance.now() > untilMs || this.#closing) throw error
        await pause(20 + Math.random() * 180)
      }
    }
  }

  async #send(
    client: PoolClient,
    name: string | undefined,
    text: string,
    values: readonly Value[],
  ): Promise<readonly Row[]> {
    const prepared = name !== undefined && this.options.preparedStatements
    const result = await client.query<Column[]>({
      text,
      rowMode: 'array',
      ...(values.length > 0 || prepared ? { values: [...values] } : {}),
      ...(prepared ? { name } : {}),
    })
    return result.rows
  }

  async #withClient<T>(deadlineMs: number | undefined, work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.#closing) throw closedError()
    const client = await this.#connect()
    return this.#within(this.#limitMs(deadlineMs), client, work, (broken) => client.release(broken))
  }

  /** The line is one connection for as long as somebody uses it, but not for ever: others may wait for one. */
  async #withLine<T>(deadlineMs: number | undefined, work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.#closing) throw closedError()
    const line = this.#openLine()
    line.join()
    const client = await line.client.catch((error: unknown) => {
      line.leave(true)
      throw error
    })
    // Those before it have their time first.
    const limitMs = this.#limitMs(deadlineMs) * line.users
    return this.#within(limitMs, client, work, (broken) => line.leave(broken))
  }

  #openLine(): Line {
    const last = this.#line
    if (last?.isOpen === true) return last
    const connecting = (last?.left ?? Promise.resolve()).then(() => this.#connect())
    this.#line = new Line(connecting)
    return this.#line
  }

  #limitMs(deadlineMs: number | undefined): number {
    return (deadlineMs ?? this.options.statementTimeoutMs) + deadlineMarginMs
  }

  async #within<T>(
    limitMs: number,
    client: PoolClient,
    work: (client: PoolClient) => Promise<T>,
    release: (broken: boolean) => void,
  ): Promise<T> {
    let expired = false
    // What became of the statement is unknown, and asked again by who needs to know.
    const timer = setTimeout(() => {
      expired = true
      hangUp(client)
      release(true)
    }, limitMs)
    try {
      const result = await work(client)
      clearTimeout(timer)
      if (!expired) release(false)
      return result
    } catch (error) {
      clearTimeout(timer)
      if (expired) throw new DeadlineError(`no answer within ${limitMs} ms`)
      release(isLostConnection(error))
      throw error
    }
  }
}

function closedError(): ErrandError {
  return new ErrandError('E_CLOSED', 'this job log has been closed')
}

class DeadlineError extends Error {
  readonly code = 'ETIMEDOUT'
}

function isDeadline(error: unknown): boolean {
  return error instanceof DeadlineError
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
