import postgresJs from 'postgres'
import { describeTransactions } from './stories.ts'

describeTransactions('postgres.js', async (url, notes) => {
  // It renames the columns of every result.
  const sql = postgresJs(url, { transform: postgresJs.camel })
  return {
    transaction: async (work) => {
      await sql.begin(async (tx) => work(tx))
    },
    write: async (tx, text) =>
      void (await (tx as postgresJs.TransactionSql).unsafe(`insert into ${notes} values ($1)`, [text])),
    notTransactions: { 'the sql of postgres.js': sql },
    close: () => sql.end(),
  }
})
