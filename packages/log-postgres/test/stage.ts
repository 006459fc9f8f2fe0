import { randomBytes } from 'node:crypto'
import { Client, Pool } from 'pg'
import { systemClock } from '@errand/core/ports'
import type { JobLog, Logger } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import type { PostgresOptions } from '@errand/log-postgres'

export const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A schema of its own on the test server, with as many instances of the log on it as a test needs. */
export interface Stage {
  readonly url: string
  readonly schema: string
  open(options?: Partial<PostgresOptions>, logger?: Logger): JobLog
  /** A statement on the log's database, with a client that the log does not know; `errand.` stands for the schema. */
  sql(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
  /** A client of its own, ended with the stage. */
  client(): Promise<Client>
  close(): Promise<void>
}

export function openStage(server: string): Stage {
  // No test cuts the power, and some commit thousands of times, so commits need not wait for the disk.
  const own = new URL(server)
  own.searchParams.set('options', '-c synchronous_commit=off -c jit=off')
  const url = own.href
  const schema = `t_${randomBytes(6).toString('hex')}`
  const logs: JobLog[] = []
  const clients: Client[] = []
  const pool = new Pool({ connectionString: url, max: 2 })
  // A test may end connections on purpose, this one too.
  pool.on('error', () => {})
  const sql: Stage['sql'] = async (text, values = []) =>
    (
      await pool.query<Record<string, unknown>>(
        text.replaceAll('errand.', `${schema}.`),
        values.length ? [...values] : undefined,
      )
    ).rows
  return {
    url,
    schema,
    sql,
    open: (options = {}, logger = quiet) => {
      const log = postgres({ url, schema, poolSize: 2, ...options }).open({
        logger,
        clock: systemClock,
      })
      logs.push(log)
      return log
    },
    client: async () => {
      const client = new Client({ connectionString: url })
      client.on('error', () => {})
      await client.connect()
      clients.push(client)
      return client
    },
    close: async () => {
      await Promise.all(logs.map((log) => log.close()))
      await Promise.all(clients.map((client) => client.end().catch(() => {})))
      await sql(`drop schema if exists ${schema} cascade`)
      await pool.end()
    },
  }
}
