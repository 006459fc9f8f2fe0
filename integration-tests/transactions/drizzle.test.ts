import { drizzle } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import { sql } from 'drizzle-orm'
import { Pool } from 'pg'
import postgresJs from 'postgres'
import type { Transaction } from '@errand/core/ports'
import { describeTransactions } from './stories.ts'

describeTransactions('Drizzle on pg', async (url, notes) => {
  const pool = new Pool({ connectionString: url })
  const db = drizzle(pool)
  return {
    transaction: (work) => db.transaction(async (tx) => work(tx)),
    write: async (tx, text) =>
      void (await (tx as unknown as typeof db).execute(sql`insert into ${sql.raw(notes)} values (${text})`)),
    notTransactions: { 'a Drizzle database': db },
    close: () => pool.end(),
  }
})

describeTransactions('Drizzle on postgres.js', async (url, notes) => {
  const client = postgresJs(url)
  const db = drizzlePostgresJs(client)
  return {
    transaction: (work) => db.transaction(async (tx) => work(tx as unknown as Transaction)),
    write: async (tx, text) =>
      void (await (tx as unknown as typeof db).execute(sql`insert into ${sql.raw(notes)} values (${text})`)),
    notTransactions: { 'a Drizzle database': db },
    close: () => client.end(),
  }
})
