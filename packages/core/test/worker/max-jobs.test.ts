import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from './stage.ts'
import type { Stage } from './stage.ts'

const task = defineJob({ name: 'task', payload: z.object({ n: z.number() }) })

async function dispatch(on: Stage, count: number, queue = 'default'): Promise<readonly string[]> {
  const requests = Array.from({ length: count }, (_, n) => task.with({ n }, { queue }))
  return (await on.errand.dispatchMany(requests)).map(({ id }) => id)
}

/** Grants in the log: also those that went back unbegun. */
async function granted(on: Stage, ids: readonly string[]): Promise<number> {
  const histories = await Promise.all(ids.map((id) => on.history(id)))
  return histories.flat().filter((type) => type === 'started').length
}

test('a worker of ten slots that may begin one job is granted one of seven, and stops when it has ended', async () => {
  await using on = stage()
  const go = hold()
  const ids = await dispatch(on, 7)
  const worker = await on.work({ handlers: [handle(task, () => go.promise)] }, { maxJobs: 1 })
  await eventually(() => {
    expect(worker.health()).toMatchObject({
      taking: false,
      running: 1,
      why: 'it has started its maximum of jobs: 1',
    })
  })
  go.resolve()
  await worker.finished
  expect(await granted(on, ids)).toBe(1)
  expect(worker.health().ended).toMatchObject({ succeeded: 1, released: 0 })
})

test.for([1, 3, 5, 20])(
  'of four queues with slots of their own, shared and single, it is granted %i in all',
  async (maxJobs) => {
    await using on = stage()
    const queues = ['a', 'b', 'c', 'd']
    const ids = (await Promise.all(queues.map((queue) => dispatch(on, 10, queue)))).flat()
    const worker = await on.work(
      { concurrency: { a: 3, b: 5, '*': 4 }, handlers: [handle(task, () => undefined)] },
      { queues, maxJobs },
    )
    await worker.finished
    expect(await granted(on, ids)).toBe(maxJobs)
    expect(worker.health().ended.succeeded).toBe(maxJobs)
  },
)

test('the last job is found in whatever queue it is dispatched to, though idle queues ask for it, too', async () => {
  const clock = virtualClock()
  for (const queue of ['a', 'b', 'c']) {
    await using on = stage({ clock })
    const worker = await on.work(
      { concurrency: { a: 2, '*': 2 }, handlers: [handle(task, () => undefined)] },
      { queues: ['a', 'b', 'c'], maxJobs: 1 },
    )
    const [id = ''] = await dispatch(on, 1, queue)
    await eventually(async () => {
      await clock.advance(500)
      expect(await on.history(id)).toContain('succeeded')
    })
    await eventually(() => clock.advance(500))
    await worker.finished
  }
})

test('brief jobs are granted ahead of their slots only as far as they may begin', async () => {
  await using on = stage()
  const ids = await dispatch(on, 400)
  const worker = await on.work(
    { concurrency: 2, handlers: [handle(task, () => undefined)] },
    { maxJobs: 157 },
  )
  await worker.finished
  expect(await granted(on, ids)).toBe(157)
  expect(worker.health().ended.succeeded).toBe(157)
})

test('a job that no handler knows counts, so that the worker ends', async () => {
  await using on = stage()
  const { id } = await on.errand.dispatch(defineJob({ name: 'stranger' }))
  const worker = await on.work({ handlers: [handle(task, () => undefined)] }, { maxJobs: 1 })
  await worker.finished
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'snoozed'])
})

test.for([0, -1, 1.5, '3', null])('maxJobs of %o is refused', async (maxJobs) => {
  await using on = stage()
  const start = (): unknown => on.errand.work({ handlers: [] }, { maxJobs: maxJobs as never })
  expect(start).toThrow(expect.objectContaining({ code: 'E_OPTION' }))
})
