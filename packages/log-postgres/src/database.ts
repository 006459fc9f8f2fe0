import type { PoolClient } from 'pg'
import { ErrandError } from '@errand/core/ports'
import type { Logger } from '@errand/core/ports'
import { Connections, giveBack } from './connections.ts'
import { isLostConnection, isSpent, isTakenBack, isUseless, logError } from './failures.ts'
import { whenRead } from './late.ts'
import { Line } from './line.ts'
import type { Release } from './migrations/release.ts'
import { ruleName } from './migrations/rules.ts'
import { quoteSchema } from './names.ts'
import type { ResolvedOptions } from './options.ts'
import { describePlace } from './options.ts'
import { hangUp } from './socket.ts'

/** A column as the protocol carries it. The decoders parse it: they know what is a number. */
export type Column = string | null
export type Row = readonly Column[]
export type Value = string | number | boolean | null

export interface QueryOptions {
  /**
   * Repeat it if the connection was lost on the way: only for a statement that may run twice with the same answer.
   * Default true.
   */
  readonly repeatable?: boolean | undefined
  /** Milliseconds instead of `statementTimeout`. */
  readonly deadlineMs?: number | undefined
  /**
   * Send it on one shared connection, right behind the others with this option. The server runs them in the order of
   * the calls, and no time is lost between two of them. Each is still a transaction of its own.
   */
  readonly inLine?: boolean | undefined
  readonly behind?: Behind | undefined
}

/** A statement that is sent right behind another one, on its connection, and is a transaction of its own. */
export interface Behind {
  readonly name: string
  readonly text: string
  readonly values: readonly Value[]
  /** Called when both are sent, once for each time that the other one is sent. The caller watches both outcomes. */
  sent(other: Promise<unknown>, own: Promise<unknown>): void
}

/** Runs statements on one connection, for those that need several in one transaction. */
export type Run = (text: string, values?: readonly Value[]) => Promise<readonly Row[]>

const mostTries = 8
/** The server ends a statement first. If its answer does not come, the connection is destroyed a little later. */
const deadlineMarginMs = 1_000
/** How long a connection may be quiet before the server is asked whether it is at work. */
const quietMs = 3_000

/**
 * Connections to the log's database, with prepared statements, deadlines, and repetition of transactions that the
 * database rolled back.
 */
export class Database {
  /** Quoted. */
  readonly schema: string
  /** Host, port and database, for people. */
  readonly place: string
  readonly options: ResolvedOptions
  readonly release: Release
  readonly connections: Connections
  #line: Line | undefined

  constructor(options: ResolvedOptions, logger: Logger, release: Release) {
    this.options = options
    this.release = release
    this.schema = quoteSchema(options.schema)
    this.place = describePlace(options)
    this.connections = new Connections(options, logger, this.place)
  }

  /** A function of the schema, for this build: `"errand".claim_v1`. */
  rule(name: string): string {
    return `${this.schema}.${ruleName(name, this.release.version)}`
  }

  /** Runs one statement, prepared under `name` if that is allowed. */
  async query(
    name: string,
    text: string,
    values: readonly Value[] = [],
    options: QueryOptions = {},
  ): Promise<readonly Row[]> {
    let again = true
    const { repeatable = true } = options
    const fate = new Fate()
    for (let tries = 1; ; tries++) {
      try {
        const send = (client: PoolClient): Promise<readonly Row[]> => {
          const answer = fate.of(this.#send(client, name, text, values))
          const { behind } = options
          if (behind) behind.sent(answer, this.#send(client, behind.name, behind.text, behind.values))
          return answer
        }
        return await (options.inLine === true
          ? this.#withLine(options.deadlineMs, send)
          : this.#withClient(options.deadlineMs, send, !this.#isSafeToLose(repeatable)))
      } catch (error) {
        if (isTakenBack(error) && tries < mostTries) await pause(Math.random() * 10 * 2 ** Math.min(tries, 4))
        // Usually the connection was lost while it was idle. If the database is down, the second try says so.
        else if (again && (repeatable || fate.isKnown) && isWorthAnother(error)) again = false
        else throw logError(error, this.place, fate.isKnown)
      }
    }
  }

  /**
   * Runs a statement that reads the beginning of an index. A bitmap has no order. Where the planner believes that few rows
   * match, because its statistics are from before a backlog, it would read and sort all of them.
   */
  readInOrder(text: string, values: readonly Value[] = []): Promise<readonly Row[]> {
    return this.transaction(async (run) => {
      await run('set local enable_bitmapscan = off')
      return run(text, values)
    })
  }

  /** Runs several statements in one READ COMMITTED transaction. Rolls it back if `work` throws. */
  async transaction<T>(work: (run: Run) => Promise<T>, options: QueryOptions = {}): Promise<T> {
    let again = true
    const fate = new Fate()
    for (let tries = 1; ; tries++) {
      try {
        return await this.#withClient(options.deadlineMs, async (client) => {
          const run: Run = (text, values) => this.#send(client, undefined, text, values ?? [])
          await run('begin isolation level read committed')
          try {
            const result = await work(run)
            await fate.of(run('commit'))
            return result
          } catch (error) {
            if (!isLostConnection(error)) await run('rollback')
            throw error
          }
        })
      } catch (error) {
        if (isTakenBack(error) && tries < mostTries) await pause(Math.random() * 10 * 2 ** Math.min(tries, 4))
        else if (again && fate.isKnown && isWorthAnother(error)) again = false
        else throw logError(error, this.place, fate.isKnown)
      }
    }
  }

  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void> {
    return this.connections.close()
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
      // Through a pooler another build may have prepared its own text on this session.
      ...(prepared ? { name: name && ruleName(name, this.release.version) } : {}),
    })
    return result.rows
  }

  async #withClient<T>(
    deadlineMs: number | undefined,
    work: (client: PoolClient) => Promise<T>,
    isChecked = true,
  ): Promise<T> {
    if (this.connections.isClosing) throw closedError()
    const client = await this.connections.take(isChecked)
    return this.#within(this.#limitMs(deadlineMs), client, work, (broken) => giveBack(client, broken))
  }

  /** The line keeps one connection as long as it is used, but not for ever: others may wait for one. */
  async #withLine<T>(deadlineMs: number | undefined, work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.connections.isClosing) throw closedError()
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
    const connecting = (last?.left ?? Promise.resolve()).then(() => this.connections.take(true))
    this.#line = new Line(connecting)
    return this.#line
  }

  /** It may run twice, and `#whileQuiet` notices when it was lost. Through a pooler, that cannot see the server's processes. */
  #isSafeToLose(repeatable: boolean): boolean {
    return repeatable && this.options.listen
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
    let over: Error | undefined
    // Whether the statement ran is unknown. The caller asks again if it must know.
    const giveUp = (error: Error): void => {
      over = error
      stop()
      this.connections.suspect()
      hangUp(client)
      release(true)
    }
    const stopLimit = whenRead(limitMs, () => giveUp(new DeadlineError(`no answer within ${limitMs} ms`)))
    const stopQuiet = this.#whileQuiet(client, () =>
      giveUp(new SilentError('the server waits for a statement that was sent, and its answer was lost')),
    )
    const stop = (): void => {
      stopLimit()
      stopQuiet()
    }
    try {
      const result = await work(client)
      stop()
      if (!over) release(this.connections.hasTurned(client))
      return result
    } catch (error) {
      stop()
      if (over) throw over
      if (isUseless(error)) this.connections.suspect()
      release(isSpent(error))
      throw error
    }
  }

  /**
   * Calls back when the network has forgotten the connection: the server does not work on the statement that is waited
   * for.
   */
  #whileQuiet(client: PoolClient, forgotten: () => void): () => void {
    let over = false
    let cancel = (): void => {}
    const look = async (): Promise<void> => {
      const atWork = await this.connections.watch.isAtWork(client)
      if (over) return
      if (atWork) wait()
      else forgotten()
    }
    const wait = (): void => {
      cancel = whenRead(quietMs, () => void look())
    }
    wait()
    return () => {
      over = true
      cancel()
    }
  }
}

/** What is known about a statement without an answer: whether it may have had an effect. */
class Fate {
  isKnown = true

  /** This is sent now. */
  async of<T>(sent: Promise<T>): Promise<T> {
    const before = this.isKnown
    this.isKnown = false
    try {
      return await sent
    } catch (error) {
      // Refused: nothing was done. Without an answer it may have been.
      if (!isLostConnection(error)) this.isKnown = before
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

class SilentError extends Error {
  readonly code = 'ETIMEDOUT'
}

/** Another connection may work better. After a whole deadline, there is no second try. */
function isWorthAnother(error: unknown): boolean {
  return isUseless(error) || (isLostConnection(error) && !(error instanceof DeadlineError))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
