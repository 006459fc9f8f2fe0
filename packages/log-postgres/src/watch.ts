import type { PoolClient, QueryArrayConfig } from 'pg'
import type { Connection } from './connection.ts'
import { getBackend } from './socket.ts'

/** A backend that has waited this long for a statement never received it, or its answer was lost. */
const waitingMs = 1_000
const answerMs = 3_000

const text = `select pg_backend_pid(), a.pid
    from (select 1) once left join pg_stat_activity a
      on a.pid = any ($1::integer[])
         and (a.state is null or a.state not like 'idle%' or a.state_change > clock_timestamp() - interval '${waitingMs} ms')`

/**
 * Asks the server what it does for quiet connections. If a network has forgotten one, no side is told: the statement or
 * its answer is gone, and the backend waits like this process.
 */
export class Watch {
  readonly #open: () => Promise<Connection>
  #asked: { client: PoolClient; tell: (atWork: boolean) => void }[] = []
  #looking = false

  constructor(open: () => Promise<Connection>) {
    this.#open = open
  }

  /**
   * Whether the server is at work on a statement of this connection. True also if that is unknown: the server does not
   * answer others either, or a pooler has other numbers.
   */
  isAtWork(client: PoolClient): Promise<boolean> {
    return new Promise((resolve) => {
      this.#asked.push({ client, tell: resolve })
      if (!this.#looking) void this.#look()
    })
  }

  /** One look for all that ask at the same time: each statement of a line asks. */
  async #look(): Promise<void> {
    this.#looking = true
    while (this.#asked.length > 0) {
      // Others may ask in this turn of the event loop too.
      await Promise.resolve()
      const asked = this.#asked
      this.#asked = []
      const busy = await this.#busy(asked.map(({ client }) => getBackend(client))).catch(() => undefined)
      for (const { client, tell } of asked) tell(busy?.has(getBackend(client)) ?? true)
    }
    this.#looking = false
  }

  /** The backends that are at work. Undefined if the numbers are not the server's. */
  async #busy(backends: readonly number[]): Promise<ReadonlySet<number> | undefined> {
    const asking = await this.#open()
    try {
      const question: QueryArrayConfig & { readonly query_timeout: number } = {
        text,
        values: [`{${backends.join(',')}}`],
        rowMode: 'array',
        query_timeout: answerMs,
      }
      const { rows } = await asking.query<[string, string | null]>(question)
      if (Number(rows[0]?.[0]) !== getBackend(asking)) return undefined
      return new Set(rows.flatMap(([, pid]) => (pid === null ? [] : [Number(pid)])))
    } finally {
      asking.end().catch(() => {})
    }
  }
}
