import { randomBytes } from 'node:crypto'
import { Pool } from 'pg'
import type { PoolClient } from 'pg'
import { systemClock } from '@errand/core/ports'
import type { JobLog, Transaction } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { quietLogger } from '@errand/testkit'

/** A library through which an application talks to its own database, and how it opens a transaction. */
export interface Library {
  /** Runs `work` in a transaction of the library, which commits when it resolves and rolls back when it throws. */
  transaction(work: (tx: Transaction) => Promise<void>): Promise<void>
  /** The application's own write, in that transaction. */
  write(tx: Transaction, text: string): Promise<void>
  /** Everything of the library that is no transaction, and must be refused as one. */
  readonly notTransactions: Readonly<Record<string, unknown>>
  close(): Promise<void>
}

/** Runs `work` in a transaction on a connection of the pool. */
export async function inTransaction(pool: Pool, work: (client: PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

/** The application's table and the log, in their own schema. */
export interface Application {
  readonly log: JobLog
  /** `schema.table`, for the application's writes. */
  readonly notes: string
  /** What the application has written, as everybody sees it. */
  written(): Promise<readonly string[]>
  close(): Promise<void>
}

export async function openApplication(url: string): Promise<Application> {
  const schema = `tx_${randomBytes(6).toString('hex')}`
  const pool = new Pool({ connectionString: url, max: 2 })
  const log = postgres({ url, schema, migrate: true }).open({ logger: quietLogger, clock: systemClock })
  await log.connect()
  const notes = `${schema}.notes`
  await pool.query(`create table ${notes} (note text not null)`)
  return {
    log,
    notes,
    written: async () =>
      (await pool.query<{ note: string }>(`select note from ${notes} order by note`)).rows.map(
        ({ note }) => note,
      ),
    close: async () => {
      await log.close()
      await pool.query(`drop schema ${schema} cascade`)
      await pool.end()
    },
  }
}
