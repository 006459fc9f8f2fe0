import { DataSource } from 'typeorm'
import type { EntityManager } from 'typeorm'
import type { Transaction } from '@errand/core/ports'
import { describeTransactions } from './stories.ts'

const write = (notes: string) => async (tx: Transaction, text: string) =>
  void (await (tx as EntityManager).query(`insert into ${notes} values ($1)`, [text]))

async function connect(url: string): Promise<DataSource> {
  return new DataSource({ type: 'postgres', url }).initialize()
}

describeTransactions('TypeORM', async (url, notes) => {
  const source = await connect(url)
  const idle = source.createQueryRunner()
  return {
    transaction: (work) => source.transaction(async (manager) => work(manager)),
    write: write(notes),
    notTransactions: {
      'a DataSource': source,
      'the manager of a DataSource': source.manager,
      'a query runner that was not started': idle,
      'the manager of such a query runner': idle.manager,
    },
    close: async () => {
      await idle.release()
      await source.destroy()
    },
  }
})

describeTransactions('a query runner of TypeORM', async (url, notes) => {
  const source = await connect(url)
  const ended = source.createQueryRunner()
  await ended.startTransaction()
  await ended.query(`insert into ${notes} values ('before')`)
  await ended.commitTransaction()
  return {
    transaction: async (work) => {
      const runner = source.createQueryRunner()
      await runner.startTransaction()
      try {
        await work(runner)
        await runner.commitTransaction()
      } catch (error) {
        await runner.rollbackTransaction()
        throw error
      } finally {
        await runner.release()
      }
    },
    write: write(notes),
    notTransactions: { 'a query runner whose transaction has ended': ended },
    close: async () => {
      await ended.release()
      await source.destroy()
    },
  }
})
