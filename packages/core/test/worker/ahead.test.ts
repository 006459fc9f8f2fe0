import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import type { Hooks, JobHandler } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from './stage.ts'
import type { Stage } from './stage.ts'

const task = defineJob({ name: 'task', payload: z.object({ long: z.boolean() }) })
const careful = defineJob({ name: 'careful', onCrash: 'fail' })

const slots = 2
/** Four for each slot. */
const prefetched = 8

/** A worker of two slots, and what is in its handlers: brief jobs end at once, long ones when `go` says so. */
async function atWork(
  on: Stage,
  go: PromiseWithResolvers<void>,
  also: readonly JobHandler[] = [],
  hooks: Hooks = {},
) {
  const seen = { begun: [] as string[], now: 0, most: 0 }
  const run = handle(task, async ({ long }, ctx) => {
    seen.now += 1
    seen.most = Math.max(seen.most, seen.now)
    seen.begun.push(ctx.job.id)
    if (long) await go.promise
    seen.now -= 1
  })
  const worker = await on.work({ concurrency: slots, handlers: [run, ...also], ...hooks })
  return { worker, seen }
}

async function dispatch(on: Stage, count: number, long: boolean): Promise<readonly string[]> {
  const receipts = await on.errand.dispatchMany(Array.from({ length: count }, () => task.with({ long })))
  return receipts.map(({ id }) => id)
}

/** Enough brief jobs for the worker to learn that they are brief. */
async function learn(on: Stage): Promise<void> {
  const ids = await dispatch(on, 150, false)
  for (const id of ids) await on.until(id, 'succeeded')
}

const countStarted = async (on: Stage, ids: readonly string[]): Promise<number> => {
  const histories = await Promise.all(ids.map((id) => on.history(id)))
  return histories.filter((types) => types.includes('started')).length
}

test('brief jobs are granted ahead of slots and begin in order, and no more than before run at a time', async () => {
  await using on = stage({ clock: virtualClock() })
  const go = hold()
  const { worker, seen } = await atWork(on, go)
  await learn(on)
  const ids = await dispatch(on, 30, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched }))
  expect(await countStarted(on, ids)).toBe(slots + prefetched)
  go.resolve()
  for (const id of ids) await on.until(id, 'succeeded')
  expect(seen.begun.slice(-ids.length)).toEqual(ids)
  expect(seen.most).toBe(slots)
})

test('as long as nothing says that jobs are brief, none is granted without a slot', async () => {
  await using on = stage({ clock: virtualClock() })
  const go = hold()
  const { worker } = await atWork(on, go)
  const ids = await dispatch(on, 30, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched: 0 }))
  expect(await countStarted(on, ids)).toBe(slots)
  go.resolve()
})

test('prefetched jobs go back when no slot comes free for a second, and another worker runs them', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const go = hold()
  const { worker, seen } = await atWork(on, go)
  await learn(on)
  const ids = await dispatch(on, slots + prefetched, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched }))
  await clock.advance(1_000)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched: 0 }))
  for (const id of ids.slice(slots)) {
    expect(await on.history(id)).toEqual(['dispatched', 'started', 'released'])
    expect(await on.releases(id)).toEqual(['ahead'])
  }
  const done = hold()
  done.resolve()
  await atWork(on, done)
  for (const id of ids.slice(slots)) await on.until(id, 'succeeded')
  expect(await on.log.get(ids.at(-1)!)).toMatchObject({ attempt: 1, run: 2 })
  expect(seen.begun.slice(-slots)).toEqual(ids.slice(0, slots))
  go.resolve()
})

test('nothing prefetched goes back while the slots wait for a slow log', async () => {
  const clock = virtualClock()
  const wait = { for: Promise.resolve() }
  await using on = stage({
    clock,
    wrap: (log) => ({
      ...log,
      settle: async (settlements, ref) => {
        await wait.for
        return log.settle(settlements, ref)
      },
    }),
  })
  const go = hold()
  // A slot waits for the `after` hook of its run, and that for the log.
  const { worker } = await atWork(on, go, [], { after: () => undefined })
  await learn(on)
  const ids = await dispatch(on, slots + prefetched, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched }))
  const slow = hold()
  wait.for = slow.promise
  go.resolve()
  await clock.advance(5_000)
  expect(worker.health()).toMatchObject({ running: slots, prefetched })
  slow.resolve()
  for (const id of ids) await on.until(id, 'succeeded')
  for (const id of ids) expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('a worker that stops gives back at once what it has prefetched, and lets what runs finish', async () => {
  await using on = stage({ clock: virtualClock() })
  const go = hold()
  const { worker } = await atWork(on, go)
  await learn(on)
  const ids = await dispatch(on, slots + prefetched, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched }))
  const stopped = worker.stop()
  for (const id of ids.slice(slots)) await on.until(id, 'released')
  expect(await on.releases(ids.at(-1)!)).toEqual(['shutdown'])
  expect(worker.health()).toMatchObject({ running: slots, prefetched: 0 })
  go.resolve()
  await stopped
  for (const id of ids.slice(0, slots)) {
    expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
  }
})

test('a worker that has a job with onCrash: fail is granted nothing ahead, since that would count as begun', async () => {
  await using on = stage({ clock: virtualClock() })
  const go = hold()
  const { worker } = await atWork(on, go, [handle(careful, () => undefined)])
  await learn(on)
  const ids = await dispatch(on, 30, true)
  await eventually(() => expect(worker.health()).toMatchObject({ running: slots, prefetched: 0 }))
  expect(await countStarted(on, ids)).toBe(slots)
  go.resolve()
})
