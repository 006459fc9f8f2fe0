import pgPromise from 'pg-promise'
import type { ITask } from 'pg-promise'
import { describeTransactions } from './stories.ts'

describeTransactions('pg-promise', async (url, notes) => {
  const db = pgPromise({ noWarnings: true })({ connectionString: url, max: 5 })
  const end = Promise.withResolvers<void>()
  const task = await new Promise<ITask<object>>((resolve) => {
    void db.task(async (t) => {
      resolve(t)
      await end.promise
    })
  })
  return {
    transaction: (work) => db.tx(async (t) => work(t)),
    write: async (tx, text) =>
      void (await (tx as ITask<object>).none(`insert into ${notes} values ($1)`, [text])),
    notTransactions: { 'a db': db, 'a task': task },
    close: async () => {
      end.resolve()
      await db.$pool.end()
    },
  }
})
