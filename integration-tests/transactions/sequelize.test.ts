import { Sequelize } from 'sequelize'
import type { Transaction as SequelizeTransaction } from 'sequelize'
import { describeTransactions } from './stories.ts'

describeTransactions('Sequelize', async (url, notes) => {
  const sequelize = new Sequelize(url, { dialect: 'postgres', logging: false })
  const ended = await sequelize.transaction()
  await ended.commit()
  return {
    transaction: (work) => sequelize.transaction(async (transaction) => work(transaction)),
    write: async (tx, text) =>
      void (await sequelize.query(`insert into ${notes} values ($1)`, {
        bind: [text],
        transaction: tx as SequelizeTransaction,
      })),
    notTransactions: { 'a Sequelize': sequelize, 'a transaction that has ended': ended },
    close: () => sequelize.close(),
  }
})
