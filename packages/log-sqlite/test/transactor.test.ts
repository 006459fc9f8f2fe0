import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '@errand/testkit'
import { Transactor } from '../src/transactor.ts'

function open() {
  const database = new DatabaseSync(':memory:')
  const commits: string[] = []
  const exec = database.exec.bind(database)
  database.exec = (sql) => {
    if (sql === 'commit') commits.push(sql)
    exec(sql)
  }
  database.exec('create table t (n integer)')
  const transactor = new Transactor(database, 'memory', { check: () => {} })
  onTestFinished(() => transactor.close())
  const insert = (n: number) => (): number => {
    database.exec(`insert into t values (${n})`)
    return n
  }
  const stored = (): unknown[] =>
    database
      .prepare('select n from t order by n')
      .all()
      .map(({ n }) => n)
  return { database, transactor, commits, insert, stored }
}

test('writes that wait at the same moment share one commit, and each has its own answer', async () => {
  const { transactor, commits, insert, stored } = open()
  // A process that a busy machine stops in the middle of a transaction begins another one for the rest.
  await until(async () => {
    const before = commits.length
    expect(await Promise.all([1, 2, 3].map((n) => transactor.write(insert(n))))).toEqual([1, 2, 3])
    return commits.length === before + 1
  })
  expect(new Set(stored())).toEqual(new Set([1, 2, 3]))
  const before = commits.length
  await transactor.write(insert(4))
  expect(commits).toHaveLength(before + 1)
})

test('a write that fails takes back what it did, and nothing of its neighbours', async () => {
  const { transactor, insert, stored } = open()
  const [first, second, third] = await Promise.allSettled([
    transactor.write(insert(1)),
    transactor.write(() => {
      insert(2)()
      throw new Error('the second')
    }),
    transactor.write(insert(3)),
  ])
  expect(first.status).toBe('fulfilled')
  expect(second).toMatchObject({
    status: 'rejected',
    reason: { message: expect.stringContaining('the second') },
  })
  expect(third.status).toBe('fulfilled')
  expect(stored()).toEqual([1, 3])
})

test('when SQLite itself takes the transaction back, as for a full disk, nobody is told that it was stored', async () => {
  const { database, transactor, insert, stored } = open()
  const written = await Promise.allSettled([
    transactor.write(insert(1)),
    transactor.write(() => {
      database.exec('rollback')
      throw new Error('database or disk is full')
    }),
  ])
  expect(written.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(stored()).toEqual([])
  expect(await transactor.write(insert(5))).toBe(5)
  expect(stored()).toEqual([5])
})

test('a write that comes while others are under way is in the next transaction, and none is forgotten', async () => {
  const { transactor, commits, insert, stored } = open()
  await until(async () => {
    const before = commits.length
    const later: Promise<number>[] = []
    await transactor.write(() => {
      for (const n of [2, 3]) later.push(transactor.write(insert(n)))
      insert(1)()
    })
    await Promise.all(later)
    return commits.length <= before + 2
  })
  expect(new Set(stored())).toEqual(new Set([1, 2, 3]))
})

test('a loop of reads lets timers run', async () => {
  const { transactor } = open()
  const fired = new AbortController()
  const timer = setTimeout(() => fired.abort(), 20)
  onTestFinished(() => clearTimeout(timer))
  const sinceMs = performance.now()
  while (!fired.signal.aborted && performance.now() - sinceMs < 5_000) await transactor.read(() => 1)
  expect(fired.signal.aborted).toBe(true)
})
