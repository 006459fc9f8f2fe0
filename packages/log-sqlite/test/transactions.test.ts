import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { newJob, recorded, settlement, workerRef } from '@errand/testkit'
import { openLog, temporaryFolder } from './temporary.ts'

const listJobIds = async (file: string) => (await openLog(file).list({}, { limit: 10 })).map((job) => job.id)

test('what is appended in the application’s transaction exists exactly when that commits', async () => {
  const file = join(temporaryFolder(), 'app.db')
  const log = openLog(file)
  await log.connect()
  const app = new DatabaseSync(file)
  app.exec('create table orders (id integer primary key)')

  const [kept, dropped] = [newJob(), newJob()]
  app.exec('begin immediate; insert into orders values (1)')
  await log.append([kept], { tx: app })
  app.exec('commit')
  app.exec('begin immediate; insert into orders values (2)')
  await log.append([dropped], { tx: app })
  app.exec('rollback')

  expect(await listJobIds(file)).toEqual([kept.id])
})

test('a completion in the handler’s transaction commits or rolls back with it', async () => {
  const file = join(temporaryFolder(), 'app.db')
  const log = openLog(file)
  const by = workerRef()
  await log.beat(by, { queues: ['test'], taking: true, progress: [] })
  await log.append([newJob(), newJob()])
  const [first, second] = await log.take(['test'], 2, by, randomUUID())
  const app = new DatabaseSync(file)
  for (const [claim, end] of [
    [first!, 'commit'],
    [second!, 'rollback'],
  ] as const) {
    app.exec('begin immediate')
    await log.complete(claim, undefined, by, app)
    app.exec(end)
  }
  const notCommitted = { kind: 'completed', error: { codec: 'json', text: '{}' }, retryInMs: 0 } as const
  const settled = recorded(
    await log.settle([settlement(first!, notCommitted), settlement(second!, notCommitted)], by),
  )
  expect(settled.map(({ event, state }) => [event, state])).toEqual([
    ['succeeded', 'succeeded'],
    ['errored', 'scheduled'],
  ])
})

test('a connection that is not in a transaction, or is on another file, or is no connection, is refused', async () => {
  const folder = temporaryFolder()
  const log = openLog(join(folder, 'jobs.db'))
  await log.connect()
  const refusal = (why: string) => ({ code: 'E_TRANSACTION', message: expect.stringContaining(why) })

  const outside = new DatabaseSync(join(folder, 'jobs.db'))
  await expect(log.append([newJob()], { tx: outside })).rejects.toMatchObject(
    refusal('not inside a transaction'),
  )
  const elsewhere = new DatabaseSync(join(folder, 'other.db'))
  elsewhere.exec('begin immediate')
  await expect(log.append([newJob()], { tx: elsewhere })).rejects.toMatchObject(refusal('on another file'))
  await expect(log.append([newJob()], { tx: { query: async () => ({ rows: [] }) } })).rejects.toMatchObject(
    refusal('not a connection to SQLite'),
  )
})
