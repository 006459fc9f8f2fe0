import { MikroORM } from '@mikro-orm/postgresql'
import type { EntityManager } from '@mikro-orm/postgresql'
import { describeTransactions } from './stories.ts'

describeTransactions('MikroORM', async (url, notes) => {
  const orm = await MikroORM.init({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } })
  return {
    transaction: (work) => orm.em.fork().transactional(async (em) => work(em)),
    write: async (tx, text) =>
      void (await (tx as unknown as EntityManager).execute(`insert into ${notes} values (?)`, [text])),
    notTransactions: { 'an EntityManager': orm.em, 'a fork': orm.em.fork() },
    close: () => orm.close(true),
  }
})
