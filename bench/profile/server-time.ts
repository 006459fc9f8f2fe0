import { Client } from 'pg'
import { aligned } from '../report/table.ts'

const top = 15
/** Sessions report their statistics with a delay. */
const settledMs = 1_500

/**
 * The cost of the work inside PostgreSQL: time by function (`track_functions`), by statement if the server has loaded
 * `pg_stat_statements`, and bytes of WAL. Only for superusers; others get an error that says what is missing.
 */
export class ServerTime {
  readonly #url: string
  #walFrom = 0
  #withoutStatements: string | undefined
  #withoutFunctions: string | undefined

  constructor(url: string) {
    this.#url = url
  }

  /** Call it before the measured connections are made. */
  async begin(): Promise<void> {
    const database = new URL(this.#url).pathname.slice(1)
    try {
      await this.#query(`alter database "${database}" set track_functions = 'all'`)
      await this.#query('select pg_stat_reset()')
    } catch (error) {
      this.#withoutFunctions = (error as Error).message
    }
    try {
      await this.#query('create extension if not exists pg_stat_statements')
      await this.#query(`alter database "${database}" set pg_stat_statements.track = 'all'`)
      await this.#query('select pg_stat_statements_reset()')
    } catch (error) {
      this.#withoutStatements = (error as Error).message
    }
    this.#walFrom = await this.#wal()
  }

  async read(jobs: number): Promise<string> {
    const wal = (await this.#wal()) - this.#walFrom
    await new Promise((resolve) => setTimeout(resolve, settledMs))
    const parts = [`WAL: ${Math.round(wal / jobs)} bytes per job (of the whole server)`]
    if (this.#withoutFunctions !== undefined) parts.push(`no functions: ${this.#withoutFunctions}`)
    else parts.push(await this.#functions(jobs))
    if (this.#withoutStatements !== undefined) parts.push(`no statements: ${this.#withoutStatements}`)
    else parts.push(await this.#statements(jobs))
    return parts.join('\n\n')
  }

  async #functions(jobs: number): Promise<string> {
    const rows = await this.#query(
      `select funcname, calls, total_time, self_time from pg_stat_user_functions order by self_time desc limit ${top}`,
    )
    return aligned([
      ['functions inside PostgreSQL', 'calls', 'total ms', 'self ms', 'self µs/job'],
      ...rows.map(([name = '', calls = '', total, self]) => [
        name,
        calls,
        ms(total),
        ms(self),
        perJob(self, jobs),
      ]),
    ])
  }

  async #statements(jobs: number): Promise<string> {
    const rows = await this.#query(
      `select left(regexp_replace(query, '\\s+', ' ', 'g'), 72), calls, total_exec_time, rows, toplevel
         from pg_stat_statements
        where dbid = (select oid from pg_database where datname = current_database())
        order by total_exec_time desc limit ${top}`,
    )
    return aligned([
      ['statements inside PostgreSQL', 'calls', 'ms', 'µs/job', 'rows', 'top level'],
      ...rows.map(([query = '', calls = '', total, count = '', level = '']) => [
        query,
        calls,
        ms(total),
        perJob(total, jobs),
        count,
        level,
      ]),
    ])
  }

  async #wal(): Promise<number> {
    const [row] = await this.#query(`select pg_current_wal_insert_lsn() - '0/0'`)
    return Number(row?.[0])
  }

  async #query(text: string): Promise<string[][]> {
    const client = new Client({ connectionString: this.#url })
    await client.connect()
    try {
      const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
      return rows.map((row) => row.map(String))
    } finally {
      await client.end()
    }
  }
}

function ms(value: string | undefined): string {
  return Number(value).toFixed(1)
}

function perJob(value: string | undefined, jobs: number): string {
  return ((Number(value) * 1_000) / jobs).toFixed(1)
}
