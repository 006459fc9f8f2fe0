import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import type { Topic } from '../../src/ports.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { collect } from '../collect.ts'
import { testInstance } from '../instance.ts'
import { failure, handWorker, succeed } from './support.ts'

const job = defineJob({ name: 'a', payload: z.number(), tags: (n) => [n % 2 === 0 ? 'even' : 'odd'] })
const other = defineJob({ name: 'b', payload: z.number(), queue: 'other' })
const keyed = defineJob({ name: 'k', payload: z.number(), order: { key: () => 'key' } })
const by = { by: 'mia' }
const unknownId = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'

/** An instance whose notifications a test can read. */
function noted() {
  const topics: Topic[] = []
  const test = testInstance({
    log: (log) => ({ notify: async (of) => (topics.push(...of), log.notify(of)) }),
  })
  return { ...test, topics }
}

test('a job with what became of it', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 1, { lane: 'high', meta: { tenant: 'acme' } })
  expect(await test.errand.jobs.get(id)).toMatchObject({
    state: 'ready',
    payload: 1,
    attempt: 0,
    maxAttempts: 5,
  })
  const worker = await handWorker(test.log())
  const claim = await worker.take()
  expect(await test.errand.jobs.get(id)).toMatchObject({
    state: 'running',
    worker: worker.ref.id,
    attempt: 1,
    run: 1,
  })
  await worker.settle(claim, failure('boom'))
  const ended = await test.errand.jobs.get(id.toUpperCase())
  expect(ended).toMatchObject({
    id,
    lane: 'high',
    tags: ['odd'],
    meta: { tenant: 'acme' },
    state: 'failed',
    error: { name: 'TypeError', message: 'boom' },
    finishedAt: expect.any(Date),
    dispatchedAt: expect.any(Date),
  })
  expect(ended).not.toHaveProperty('result')
  expect(await test.errand.jobs.get(unknownId)).toBeUndefined()
  expect(await catchRefusal(() => test.errand.jobs.get('7'))).toMatchObject({ code: 'E_ID' })
})

test('lists go over many pages, newest first, with a limit and from a place', async () => {
  await using test = testInstance()
  const receipts = await test.errand.dispatchMany(Array.from({ length: 450 }, (_, n) => job.with(n)))
  await test.errand.dispatch(other, 1)
  const newest = receipts.map(({ id }) => id).toReversed()
  const ids = async (filter: object) => (await collect(test.errand.jobs.list(filter))).map(({ id }) => id)
  expect(await ids({ job })).toEqual(newest)
  expect(await ids({ job, limit: 7 })).toEqual(newest.slice(0, 7))
  expect(await ids({ job, limit: 300, after: newest[99] })).toEqual(newest.slice(100, 400))
  expect(await ids({ queue: 'other' })).toHaveLength(1)
  expect(await ids({ job: 'a', tag: 'even', state: 'ready' })).toHaveLength(225)
  expect(await ids({ before: new Date(test.clock.now()) })).toEqual([])
})

test('cancel: waiting jobs at once, running ones by asking their worker', async () => {
  await using test = noted()
  const running = await test.errand.dispatch(job, 1)
  const waiting = await test.errand.dispatch(job, 2)
  const worker = await handWorker(test.log())
  const claim = await worker.take()
  expect(await test.errand.jobs.cancel(running.id, { ...by, reason: 'wrong file' })).toBe(1)
  expect(test.topics).toContain(`worker:${worker.ref.id}`)
  expect(await test.errand.jobs.get(running.id)).toMatchObject({ state: 'running', cancelRequested: true })
  expect(await test.errand.jobs.cancel(waiting.id, by)).toBe(1)
  expect(await test.errand.jobs.get(waiting.id)).toMatchObject({ state: 'cancelled' })
  await worker.settle(claim, failure('aborted', 0))
  const events = await test.errand.events.of(running.id)
  expect(events.findLast(({ type }) => type === 'cancelled')).toMatchObject({
    by: 'mia',
    reason: 'wrong file',
  })
  expect(await test.errand.jobs.cancel(waiting.id, by)).toBe(0)
  expect(await test.errand.jobs.cancel(unknownId, by)).toBe(0)
})

test('cancel by a filter reaches every page and every live state, and nothing else', async () => {
  await using test = testInstance()
  await test.errand.dispatchMany([
    ...Array.from({ length: 410 }, (_, n) => job.with(n)),
    job.with(0, { delay: '1h' }),
    job.with(0, { orderingKey: 'x' }),
    job.with(0, { orderingKey: 'x' }),
  ])
  const kept = await test.errand.dispatch(other, 1)
  expect(await test.errand.jobs.cancel({ tag: 'even' }, by)).toBe(205 + 3)
  expect(await test.errand.jobs.cancel({ job }, by)).toBe(205)
  expect(await test.errand.jobs.get(kept.id)).toMatchObject({ state: 'ready' })
})

test('cancelling the holder of a key publishes the next one', async () => {
  await using test = testInstance()
  const [first, second] = await test.errand.dispatchMany([keyed.with(1), keyed.with(2)])
  const before = (await test.driver().depth('default')) ?? 0
  await test.errand.jobs.cancel(first.id, by)
  expect(await test.errand.jobs.get(second.id)).toMatchObject({ state: 'ready' })
  expect(await test.driver().depth('default')).toBe(before + 1)
})

test('replay: failed jobs by default, published at once; a dry run only counts', async () => {
  await using test = testInstance()
  await test.errand.connect()
  const worker = await handWorker(test.log())
  for (const n of [1, 2, 3]) {
    await test.errand.dispatch(job, n)
    await worker.settle(await worker.take(), n === 1 ? succeed() : failure('boom'))
  }
  expect(await test.errand.jobs.replay({ job }, { ...by, dryRun: true })).toBe(2)
  expect(await collect(test.errand.jobs.list({ state: 'failed' }))).toHaveLength(2)
  const before = (await test.driver().depth('default')) ?? 0
  expect(await test.errand.jobs.replay({ job }, by)).toBe(2)
  expect(await test.driver().depth('default')).toBe(before + 2)
  const [replayed] = await collect(test.errand.jobs.list({ state: 'ready' }))
  expect(replayed).toMatchObject({ attempt: 0, run: 1 })
  expect(await test.errand.jobs.replay({ job, state: 'succeeded' }, by)).toBe(1)
})

test('one job is replayed from any end, but not while another holds its unique key', async () => {
  await using test = testInstance()
  await test.errand.connect()
  const worker = await handWorker(test.log())
  const first = await test.errand.dispatch(job, 1, { uniqueKey: 'u' })
  await worker.settle(await worker.take(), failure('boom'))
  const second = await test.errand.dispatch(job, 1, { uniqueKey: 'u' })
  expect(await catchRefusal(() => test.errand.jobs.replay(first.id, by))).toMatchObject({
    code: 'E_NOT_ALLOWED',
  })
  await test.errand.jobs.cancel(second.id, by)
  expect(await test.errand.jobs.replay(first.id, { ...by, dryRun: true })).toBe(1)
  expect(await test.errand.jobs.replay(first.id, by)).toBe(1)
  expect(await test.errand.jobs.replay(first.id, by)).toBe(0)
})

test('a failed job blocks its key until it is skipped', async () => {
  await using test = testInstance()
  const [first, second] = await test.errand.dispatchMany([keyed.with(1), keyed.with(2)])
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), failure('boom'))
  expect(await test.errand.jobs.blockedKeys()).toMatchObject([{ key: 'key', holder: first.id, waiting: 1 }])
  expect(await test.errand.jobs.skip(first.id, by)).toBe(1)
  expect(await test.errand.jobs.get(second.id)).toMatchObject({ state: 'ready' })
  expect(await test.errand.jobs.blockedKeys()).toEqual([])
})

test('change: lane, queue, time and payload of a job that waits', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 1, { delay: '1h' })
  await test.errand.jobs.change(id, { lane: 'critical', queue: 'other', at: new Date(0), payload: 8 }, by)
  expect(await test.errand.jobs.get(id)).toMatchObject({
    state: 'ready',
    lane: 'critical',
    queue: 'other',
    payload: 8,
  })
  expect(await test.driver().depth('other')).toBe(1)
  expect((await test.errand.events.of(id)).at(-1)).toMatchObject({
    type: 'changed',
    by: 'mia',
    changed: ['lane', 'queue', 'runAt', 'payload'],
  })
})

test.each<[object, string]>([
  [{}, 'E_OPTION'],
  [{ priority: 1 }, 'E_OPTION'],
  [{ lane: 'urgent' }, 'E_OPTION'],
  [{ queue: 'a b' }, 'E_NAME'],
  [{ at: 'now' }, 'E_OPTION'],
  [{ payload: { at: new Date() } }, 'E_PAYLOAD_NOT_SERIALIZABLE'],
  [{ payload: 'x'.repeat(2_000_000) }, 'E_PAYLOAD_TOO_LARGE'],
])('change to %j is refused with %s', async (to, code) => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 1)
  expect(await catchRefusal(() => test.errand.jobs.change(id, to, by))).toMatchObject({ code })
})

test('what cannot be changed says so', async () => {
  await using test = testInstance()
  expect(await catchRefusal(() => test.errand.jobs.change(unknownId, { lane: 'low' }, by))).toMatchObject({
    code: 'E_NOT_FOUND',
  })
  const { id } = await test.errand.dispatch(job, 1)
  await (await handWorker(test.log())).take()
  expect(await catchRefusal(() => test.errand.jobs.change(id, { lane: 'low' }, by))).toMatchObject({
    code: 'E_NOT_ALLOWED',
  })
})

test('an empty filter does not mean every job, and who does it must be said', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1)
  const { jobs } = test.errand
  for (const empty of [{}, { queue: undefined }]) {
    for (const act of ['cancel', 'replay', 'skip'] as const) {
      expect(await catchRefusal(() => jobs[act](empty, by))).toMatchObject({ code: 'E_OPTION' })
    }
  }
  for (const nobody of [undefined, {}, { by: '' }, { by: ' ' }, { by: 'mia', why: 'x' }]) {
    expect(await catchRefusal(() => jobs.cancel({ job }, nobody as never))).toMatchObject({
      code: 'E_OPTION',
    })
  }
  expect(await catchRefusal(() => jobs.cancel({ name: 'a' } as never, by))).toMatchObject({
    code: 'E_OPTION',
  })
  expect(await collect(jobs.list({ state: 'ready' }))).toHaveLength(1)
})

test('prune deletes what is past its retention, however much', async () => {
  await using test = testInstance({ config: { keep: { succeeded: '1h', failed: '2h' } } })
  await test.errand.connect()
  const worker = await handWorker(test.log())
  await test.errand.dispatchMany(Array.from({ length: 450 }, (_, n) => job.with(n)))
  await test.errand.jobs.cancel({ job }, by)
  await test.errand.dispatch(job, 1)
  await worker.settle(await worker.take(), failure('boom'))
  expect(await test.errand.jobs.prune()).toBe(0)
  await test.clock.advance(3_599_999)
  expect(await test.errand.jobs.prune()).toBe(0)
  await test.clock.advance(1)
  const batches: number[] = []
  expect(await test.errand.jobs.prune({ onProgress: (count) => batches.push(count) })).toBe(450)
  expect(batches).toEqual([200, 200, 50])
  expect(await collect(test.errand.jobs.list())).toMatchObject([{ state: 'failed' }])
  expect(await test.errand.jobs.prune({ failed: '30m' })).toBe(1)
})
