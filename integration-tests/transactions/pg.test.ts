import { Client, Pool } from 'pg'
import type { PoolClient } from 'pg'
import { inTransaction } from './library.ts'
import { describeTransactions } from './stories.ts'

describeTransactions('pg', async (url, notes) => {
  const pool = new Pool({ connectionString: url })
  const outside = new Client({ connectionString: url })
  await outside.connect()
  return {
    transaction: (work) => inTransaction(pool, work),
    write: async (tx, text) =>
      void (await (tx as PoolClient).query(`insert into ${notes} values ($1)`, [text])),
    notTransactions: { 'a pool': pool, 'a client outside a transaction': outside },
    close: async () => {
      await outside.end()
      await pool.end()
    },
  }
})
