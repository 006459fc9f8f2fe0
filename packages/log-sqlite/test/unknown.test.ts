import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { createErrand } from '@errand/core'
import type { EventRecord } from '@errand/core/ports'
import { newJob, newTicket, quietLogger, workerRef } from '@errand/testkit'
import { sqlite } from '@errand/log-sqlite'
import { openLog, temporaryFolder } from './temporary.ts'

test('what a newer build wrote is read as unknown, and its neighbours as they are', async () => {
  const file = join(temporaryFolder(), 'errand.db')
  const log = openLog(file)
  const { logId } = await log.connect()
  const [frozen, plain] = [newJob({ queue: 'q' }), newJob({ queue: 'q' })]
  await log.append([frozen, plain])
  {
    using db = new DatabaseSync(file)
    db.prepare(`update errand_jobs set state = 'frozen' where id = ?`).run(frozen.id)
    db.prepare(
      `insert into errand_events (job_id, version, type, state, name, queue, tags, at, run, attempt, data)
       values (?, 2, 'froze', 'frozen', 'a', 'q', '[]', 0, 0, 0, '{}')`,
    ).run(frozen.id)
  }
  expect(await log.get(frozen.id)).toMatchObject({ id: frozen.id, state: 'unknown' })
  expect((await log.list({}, { limit: 10 })).map(({ state }) => state).toSorted()).toEqual([
    'ready',
    'unknown',
  ])
  const told = (events: readonly EventRecord[]) => events.map(({ type, state }) => `${type} ${state}`)
  expect(told(await log.readHistory(frozen.id))).toEqual(['dispatched ready', 'unknown unknown'])

  const errand = createErrand({ log: sqlite({ file }), driver: 'database', logger: quietLogger })
  onTestFinished(() => errand.close())
  const followed: string[] = []
  for await (const event of errand.events.follow({ after: 'start' })) {
    followed.push(event.type)
    if (followed.length === 2) await log.append([newJob({ queue: 'q' })])
    if (followed.length === 4) break
  }
  expect(followed).toEqual(['dispatched', 'dispatched', 'unknown', 'dispatched'])

  // No rule of this build moves it, and none stops at it.
  const by = workerRef()
  await log.beat(by, { queues: ['q'], taking: true, progress: [] })
  expect(
    await log.claim([newTicket({ id: frozen.id, queue: 'q', log: logId })], 1, by, randomUUID()),
  ).toMatchObject([{ verdict: 'drop', why: 'finished' }])
  expect(await log.take(['q'], 10, by, randomUUID())).toHaveLength(2)
})
