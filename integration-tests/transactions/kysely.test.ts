import { CamelCasePlugin, Kysely, PostgresDialect, sql } from 'kysely'
import { Pool } from 'pg'
import { describeTransactions } from './stories.ts'

describeTransactions('Kysely', async (url, notes) => {
  const db = new Kysely<Record<string, never>>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: url }) }),
    // It renames the columns of every result.
    plugins: [new CamelCasePlugin()],
  })
  return {
    transaction: (work) => db.transaction().execute(async (trx) => work(trx)),
    write: async (tx, text) =>
      void (await sql`insert into ${sql.raw(notes)} values (${text})`.execute(tx as unknown as typeof db)),
    notTransactions: { 'a Kysely': db },
    close: () => db.destroy(),
  }
})
