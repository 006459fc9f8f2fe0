import knexOf from 'knex'
import type { Knex } from 'knex'
import { describeTransactions } from './stories.ts'

describeTransactions('Knex', async (url, notes) => {
  const knex = knexOf({ client: 'pg', connection: url })
  return {
    transaction: (work) => knex.transaction(async (trx) => work(trx)),
    write: async (tx, text) =>
      void (await (tx as unknown as Knex.Transaction).raw(`insert into ${notes} values (?)`, [text])),
    notTransactions: { 'a Knex': knex },
    close: () => knex.destroy(),
  }
})
