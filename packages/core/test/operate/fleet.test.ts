import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import type { Topic } from '../../src/ports.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'
import { handWorker } from './support.ts'

const job = defineJob({ name: 'a', payload: z.number(), queue: 'q' })

test('pause and resume are told to the workers, and shown with who did it', async () => {
  const topics: Topic[] = []
  await using test = testInstance({
    log: (log) => ({ notify: async (of) => (topics.push(...of), log.notify(of)) }),
  })
  await test.errand.dispatch(job, 1)
  topics.length = 0
  await test.errand.queues.pause('q', 'mia')
  expect(await test.errand.queues.list()).toMatchObject([
    { name: 'q', paused: true, pausedBy: 'mia', ready: 1 },
  ])
  await test.errand.queues.resume('q', { by: 'mia', reason: 'fixed' })
  expect(await test.errand.queues.list()).toMatchObject([{ paused: false }])
  expect(topics).toEqual(['queue:q', 'queue:q'])
  expect(await catchRefusal(() => test.errand.queues.pause('a b', 'mia'))).toMatchObject({ code: 'E_NAME' })
  expect(await catchRefusal(() => test.errand.queues.pause('q', ''))).toMatchObject({ code: 'E_OPTION' })
})

test('purge cancels what waits, leaves what runs, and empties the broker', async () => {
  await using test = testInstance()
  const running = await test.errand.dispatch(job, 0)
  await (await handWorker(test.log(), ['q'])).take('q')
  await test.errand.dispatchMany([
    job.with(1),
    job.with(2, { delay: '1h' }),
    job.with(3, { orderingKey: 'k' }),
    job.with(4, { orderingKey: 'k' }),
    job.with(5, { queue: 'other' }),
  ])
  expect(await test.errand.queues.purge('q', 'mia')).toBe(4)
  expect(await test.driver().depth('q')).toBe(0)
  expect(await test.errand.jobs.get(running.id)).toMatchObject({ state: 'running', cancelRequested: false })
  expect(await test.errand.queues.list()).toMatchObject([
    { name: 'other', ready: 1 },
    { name: 'q', ready: 0, scheduled: 0, blocked: 0, running: 1 },
  ])
})

test('workers are listed, and asked to stop', async () => {
  const topics: Topic[] = []
  await using test = testInstance({ log: () => ({ notify: async (of) => void topics.push(...of) }) })
  await test.errand.connect()
  const one = await handWorker(test.log(), ['q'])
  const two = await handWorker(test.log(), ['q'])
  expect(await test.errand.workers.list()).toMatchObject([
    { id: one.ref.id, host: 'here', queues: ['q'], taking: true, alive: true, lastSeen: expect.any(Date) },
    { id: two.ref.id, stopping: false },
  ])
  expect(await test.errand.workers.stop(one.ref.id)).toBe(1)
  expect(topics).toEqual([`worker:${one.ref.id}`])
  expect(await test.errand.workers.list()).toMatchObject([{ stopping: true }, { stopping: false }])
  expect(await test.errand.workers.stop()).toBe(2)
  expect(topics.slice(1)).toEqual([`worker:${one.ref.id}`, `worker:${two.ref.id}`])
  expect(await catchRefusal(() => test.errand.workers.stop('nobody'))).toMatchObject({ code: 'E_NOT_FOUND' })
})
