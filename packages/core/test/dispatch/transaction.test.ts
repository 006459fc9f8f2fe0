import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, ErrandError } from '../../src/index.ts'
import type { Transaction } from '../../src/index.ts'
import { checkTransaction } from '../../src/dispatch/transaction.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'

const job = defineJob({ name: 'a', queue: 'q', payload: z.number() })
const call = (): never => {
  throw new Error('nothing may be called')
}
const pgClient = { query: call, release: call } as unknown as Transaction

test.each<[string, unknown]>([
  ['a pg client', { query: call }],
  ['a Kysely transaction', { isTransaction: true, executeQuery: call }],
  ['a Drizzle transaction', { rollback: call, transaction: call, _: { session: {} } }],
  ['a Prisma transaction', { $queryRawUnsafe: call }],
  ['a Knex transaction', Object.assign(() => undefined, { raw: call, isCompleted: call })],
  [
    'a postgres.js transaction',
    Object.assign(() => undefined, { unsafe: call, savepoint: call, prepare: call }),
  ],
  ['the manager of a TypeORM transaction', { query: call, queryRunner: {} }],
  ['a Sequelize transaction', { commit: call, rollback: call, afterCommit: call, sequelize: {} }],
  ['the EntityManager of a MikroORM transaction', { execute: call, isInTransaction: () => true }],
  ['the t of a pg-promise transaction', { query: call, ctx: {} }],
  ['a node:sqlite connection inside a transaction', { prepare: call, isTransaction: true }],
  ['a better-sqlite3 connection inside a transaction', { prepare: call, inTransaction: true }],
])('%s is a transaction', (_, tx) => {
  expect(() => checkTransaction(tx)).not.toThrow()
})

test.each<[string, unknown, string]>([
  ['a pg Pool', { query: call, connect: call, totalCount: 3 }, 'a pg Pool'],
  ['Kysely', { isTransaction: false, executeQuery: call }, 'Kysely itself'],
  ['a Drizzle database', { transaction: call, _: { session: {} } }, 'a Drizzle database'],
  ['a Prisma client', { $queryRawUnsafe: call, $connect: call }, 'a Prisma client'],
  ['Knex', Object.assign(() => undefined, { raw: call }), 'Knex itself'],
  [
    'sql of postgres.js',
    Object.assign(() => undefined, { unsafe: call, begin: call }),
    'the postgres.js sql',
  ],
  ['a TypeORM DataSource', { query: call, createQueryRunner: call }, 'a TypeORM DataSource'],
  ['Sequelize', { query: call, define: call }, 'Sequelize itself'],
  ['the db of pg-promise', { query: call, $pool: {} }, 'the db of pg-promise'],
  ['SQLite outside a transaction', { prepare: call, isTransaction: false }, 'run "begin" on it first'],
  ['an empty object', {}, 'does not know'],
  ['text', 'tx', 'does not know'],
  ['null', null, 'null'],
])('%s is refused as tx', async (_, tx, hint) => {
  await using test = testInstance()
  const single = await catchRefusal(() => test.errand.dispatch(job, 1, { tx: tx as never }))
  expect(single).toMatchObject({ code: 'E_TRANSACTION', message: expect.stringContaining(hint) })
  const many = await catchRefusal(() => test.errand.dispatchMany([job.with(1)], { tx: tx as never }))
  expect(many).toMatchObject({ code: 'E_TRANSACTION' })
})

test('with tx every dispatch is a statement of its own, and nothing is published before the commit', async () => {
  const calls: unknown[] = []
  await using test = testInstance({
    log: (log) => ({
      append: (jobs, options) => {
        calls.push([jobs.length, options?.tx === pgClient, jobs[0]?.publishGraceMs])
        return log.append(jobs, options)
      },
    }),
  })
  await Promise.all([1, 2].map((n) => test.errand.dispatch(job, n, { tx: pgClient })))
  await test.errand.dispatchMany([job.with(3), job.with(4)], { tx: pgClient })
  expect(calls).toEqual([
    [1, true, 0],
    [1, true, 0],
    [2, true, 0],
  ])
  expect(await test.driver().depth('q')).toBe(0)
})

test('wake() publishes what was dispatched in transactions', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1, { tx: pgClient })
  test.errand.wake()
  await test.clock.advance(0)
  expect(await test.driver().depth('q')).toBe(1)
})

test('wake() wakes workers that take jobs straight from the log', async () => {
  const woken: unknown[] = []
  await using test = testInstance({
    log: (log) => ({ notify: async (topics) => (woken.push(topics), log.notify(topics)) }),
    driver: () => ({ capabilities: { delivers: 'claims', depth: 'unknown' } }),
  })
  await test.errand.dispatch(job, 1, { tx: pgClient })
  expect(woken).toEqual([])
  test.errand.wake()
  await test.clock.advance(0)
  expect(woken).toEqual([['events', 'queue:q']])
})

test('a neighbour’s wake() does not use up the ticket of a transaction that is still open', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1, { tx: pgClient })
  const published = async (): Promise<number> => {
    test.errand.wake()
    await test.clock.advance(0)
    return (await test.driver().depth('q')) ?? 0
  }
  // Twice, then never again: the relay is the safe path.
  expect([await published(), await published(), await published()]).toEqual([1, 2, 2])
})

test('tickets of transactions that ended long ago are left to the relay', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1, { tx: pgClient })
  await test.clock.advance(5_001)
  test.errand.wake()
  await test.clock.advance(0)
  expect(await test.driver().depth('q')).toBe(0)
})

test('an error inside a transaction is the caller’s to roll back: it is not called unknown', async () => {
  await using test = testInstance({
    log: () => ({ append: () => Promise.reject(new ErrandError('E_LOG_UNREACHABLE', 'connection reset')) }),
  })
  const refusal = await catchRefusal(() => test.errand.dispatch(job, 1, { tx: pgClient }))
  expect(refusal).toMatchObject({ code: 'E_LOG_UNREACHABLE', ids: [expect.any(String)] })
})
