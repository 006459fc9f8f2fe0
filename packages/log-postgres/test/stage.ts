import { randomBytes } from 'node:crypto'
import { Client, Pool } from 'pg'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { JobLog, Logger } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { postgres } from '@errand/log-postgres'
import type { PostgresOptions } from '@errand/log-postgres'

/** The server of this run, if there is one. */
export const url: string | undefined = inject('postgres')

/** A schema of its own on the test server, with as many instances of the log on it as a test needs. */
export interface Stage {
  readonly url: string
  readonly schema: string
  open(options?: Partial<PostgresOptions>, logger?: Logger): JobLog
  /** A statement on the log's database, with a client that the log does not know; `errand.` stands for the schema. */
  sql(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
  /** A client of its own, ended with the stage. */
  client(): Promise<Client>
  /** Moves the log's clock. It reads the time from one function of its schema. */
  advance(ms: number): Promise<void>
  close(): Promise<void>
}

export interface Opened {
  readonly stage: Stage
  readonly log: JobLog
}

/** A suite on one log, which has its tables before the first test and is closed after the last. Skipped without a server. */
export function describeOnPostgres(title: string, tell: (on: Opened) => void): void {
  describe.skipIf(url === undefined)(title, () => {
    const stage = openStage()
    const log = stage.open()
    beforeAll(async () => void (await log.migrate()))
    afterAll(() => stage.close())
    tell({ stage, log })
  })
}

/** For a suite whose tests need a log each. */
export async function openMigrated(options: Partial<PostgresOptions> = {}): Promise<Opened> {
  const stage = openStage()
  const log = stage.open(options)
  await log.migrate()
  return { stage, log }
}

export function openStage(): Stage {
  // A skipped suite has a stage, too.
  const own = new URL(url ?? 'postgres://localhost')
  // No test cuts the power, and some commit thousands of times, so commits need not wait for the disk.
  own.searchParams.set('options', '-c synchronous_commit=off -c jit=off')
  const schema = `t_${randomBytes(6).toString('hex')}`
  const logs: JobLog[] = []
  let clock: Promise<unknown> | undefined
  const clients: Client[] = []
  const pool = new Pool({ connectionString: own.href, max: 2 })
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
    url: own.href,
    schema,
    sql,
    open: (options = {}, logger = quietLogger) => {
      const log = postgres({ url: own.href, schema, poolSize: 2, ...options }).open({
        logger,
        clock: systemClock,
      })
      logs.push(log)
      return log
    },
    client: async () => {
      const client = new Client({ connectionString: own.href })
      client.on('error', () => {})
      await client.connect()
      clients.push(client)
      return client
    },
    advance: async (ms) => {
      clock ??= sql(`
        create table errand.ahead as select 0::bigint as ms;
        create or replace function errand.clock() returns timestamptz language sql volatile
          return clock_timestamp() + (select ms from errand.ahead) * interval '1 millisecond'`)
      await clock
      await sql('update errand.ahead set ms = ms + $1', [ms])
    },
    close: async () => {
      await Promise.all(logs.map((log) => log.close()))
      await Promise.all(clients.map((client) => client.end().catch(() => {})))
      await sql(`drop schema if exists ${schema} cascade`)
      await pool.end()
    },
  }
}
