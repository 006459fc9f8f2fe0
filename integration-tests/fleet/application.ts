import { DatabaseSync } from 'node:sqlite'
import { Pool } from 'pg'
import { inject, onTestFinished } from 'vitest'
import type { Transaction } from '@errand/core'

/** An application that keeps its own rows in the log's database. */
export interface Application {
  /** Rolls back in any case if the work throws. */
  transaction(work: (tx: Transaction) => Promise<void>, end: 'commit' | 'rollback'): Promise<void>
}

/** @param url of a log of that name */
export function applicationOn(name: string, url: string): Application {
  if (name === 'sqlite') {
    const connection = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 10_000 })
    onTestFinished(() => connection.close())
    return {
      async transaction(run, end) {
        connection.exec('begin immediate')
        try {
          await run(connection)
          connection.exec(end)
        } finally {
          if (connection.isTransaction) connection.exec('rollback')
        }
      },
    }
  }
  const pool = new Pool({ connectionString: inject('postgres'), max: 8 })
  onTestFinished(() => pool.end())
  return {
    async transaction(run, end) {
      const client = await pool.connect()
      await client.query('begin')
      try {
        await run(client)
        await client.query(end)
      } catch (error) {
        await client.query('rollback')
        throw error
      } finally {
        client.release()
      }
    },
  }
}
