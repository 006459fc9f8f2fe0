import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { collect } from '../collect.ts'
import { testInstance } from '../instance.ts'
import { follow, turn, until } from './following.ts'
import { failure, handWorker, succeed } from './support.ts'

const job = defineJob({
  name: 'a',
  payload: z.string(),
  returns: z.object({ n: z.number() }),
  tags: (text) => [text],
})
test('the history of a job, decoded', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 'x', { delay: '1s' })
  await test.clock.advance(1_000)
  await test.log().sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), failure('not yet', 0))
  await test.log().sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
  await worker.settle(await worker.take(), succeed({ n: 7 }))

  const events = await test.errand.events.of(id)
  expect(events.map(({ type }) => type)).toEqual([
    'dispatched',
    'due',
    'started',
    'errored',
    'due',
    'started',
    'succeeded',
  ])
  expect(events[0]).toMatchObject({
    jobId: id,
    name: 'a',
    queue: 'default',
    tags: ['x'],
    version: 1,
    runAt: expect.any(Date),
  })
  expect(events[2]).toMatchObject({ worker: worker.ref.id, host: 'here', run: 1, attempt: 1 })
  expect(events[3]).toMatchObject({
    error: { name: 'TypeError', message: 'not yet', stack: expect.any(String) },
    retryAt: expect.any(Date),
    state: 'scheduled',
  })
  expect(events[6]).toMatchObject({ result: { n: 7 }, durationMs: 1, state: 'succeeded' })
  expect(await test.errand.events.of('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')).toEqual([])
})

test('following a job starts with its first event and ends with its last, also when it has ended before', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 'x')
  const live = follow(test.errand.events.follow({ job: id }))
  await until(() => live.seen.length === 1)
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), succeed({ n: 1 }))
  await test.log().notify(['events'])
  await live.done
  expect(live.seen.map(({ type }) => type)).toEqual(['dispatched', 'started', 'succeeded'])
  const late = await collect(test.errand.events.follow({ job: id }))
  expect(late.map(({ cursor }) => cursor)).toEqual(live.seen.map(({ cursor }) => cursor))
  const last = live.seen.at(-1)?.cursor
  expect(await collect(test.errand.events.follow({ job: id, after: last }))).toEqual([])
})

test('a job that ends between two looks of its follower is followed to its end', async () => {
  let beforeAsked = async (): Promise<void> => {}
  await using test = testInstance({
    log: (log) => ({
      unfinished: async (ids) => {
        await beforeAsked()
        return log.unfinished(ids)
      },
    }),
  })
  const { id } = await test.errand.dispatch(job, 'x')
  const [dispatched] = await test.errand.events.of(id)
  const worker = await handWorker(test.log())
  beforeAsked = async () => {
    beforeAsked = async () => {}
    await worker.settle(await worker.take(), succeed({ n: 1 }))
  }
  const seen = await collect(test.errand.events.follow({ job: id, after: dispatched?.cursor }))
  expect(seen.map(({ type }) => type)).toEqual(['started', 'succeeded'])
})

test('a job that was replayed is followed past its first end', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 'x')
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), failure('first'))
  await test.errand.jobs.replay(id, { by: 'mia' })
  const live = follow(test.errand.events.follow({ job: id }))
  await until(() => live.seen.at(-1)?.type === 'replayed')
  await worker.settle(await worker.take(), succeed({ n: 1 }))
  await test.clock.advance(1_000)
  await live.done
  expect(live.seen.map(({ type }) => type)).toEqual([
    'dispatched',
    'started',
    'errored',
    'failed',
    'replayed',
    'started',
    'succeeded',
  ])
})

test('following without a job sees what happens from now on, in every queue', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 'before')
  const stop = new AbortController()
  const all = follow(test.errand.events.follow({ signal: stop.signal }))
  const tagged = follow(test.errand.events.follow({ tag: 'y', signal: stop.signal }))
  const other = follow(test.errand.events.follow({ queue: 'other', signal: stop.signal }))
  for (let index = 0; index < 20; index += 1) await turn()
  await test.errand.dispatch(job, 'y')
  await test.errand.dispatch(job, 'z', { queue: 'other' })
  await until(() => all.seen.length === 2)
  expect(all.seen.map(({ tags }) => tags[0])).toEqual(['y', 'z'])
  await until(() => tagged.seen.length === 1 && other.seen.length === 1)
  stop.abort()
  await Promise.all([all.done, tagged.done, other.done])
})

test('after a restart it goes on from the cursor: no event missed, none repeated, over many pages', async () => {
  await using test = testInstance()
  const stop = new AbortController()
  await test.errand.dispatchMany(Array.from({ length: 1_203 }, (_, index) => job.with(String(index))))
  const seen: string[] = []
  let after: string | undefined = 'start'
  for (let restart = 0; restart < 3; restart += 1) {
    for await (const event of test.errand.events.follow({ after, signal: stop.signal })) {
      seen.push(event.jobId)
      after = event.cursor
      if (seen.length === [400, 900, 1_203][restart]) break
    }
  }
  const listed = (await collect(test.errand.jobs.list())).map(({ id }) => id)
  expect(seen).toEqual(listed.toReversed())
})

test('a wake-up that is lost costs a second, not the event', async () => {
  await using test = testInstance({
    log: (log) => ({
      notify: async () => undefined,
      append: (jobs, options) => log.append(jobs, { ...options, wake: undefined }),
    }),
  })
  const stop = new AbortController()
  const live = follow(test.errand.events.follow({ signal: stop.signal }))
  for (let index = 0; index < 20; index += 1) await turn()
  await test.errand.dispatch(job, 'x')
  for (let index = 0; index < 20; index += 1) await turn()
  expect(live.seen).toEqual([])
  await test.clock.advance(1_000)
  await until(() => live.seen.length === 1)
  stop.abort()
  await live.done
})

test('a log whose wake-ups break is followed by time', async () => {
  await using test = testInstance({
    log: () => ({
      // oxlint-disable-next-line require-yield -- it breaks before it could
      async *wakeups() {
        throw new Error('no LISTEN through this pooler')
      },
    }),
  })
  const stop = new AbortController()
  const live = follow(test.errand.events.follow({ after: 'start', signal: stop.signal }))
  for (let index = 0; index < 20; index += 1) await turn()
  await test.errand.dispatch(job, 'x')
  await test.clock.advance(1_000)
  await until(() => live.seen.length === 1)
  stop.abort()
  await live.done
})

test('closing the instance ends its followers', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 'x')
  const live = [{}, { job: id }].map((options) => follow(test.errand.events.follow(options)))
  for (let index = 0; index < 20; index += 1) await turn()
  await test.errand.close()
  await Promise.all(live.map(({ done }) => done))
})

test('reading ends with the newest event, from the oldest one or from a cursor, over many pages', async () => {
  await using test = testInstance()
  expect(await collect(test.errand.events.read())).toEqual([])
  const receipts = await test.errand.dispatchMany(
    Array.from({ length: 1_001 }, (_, n) => job.with(String(n))),
  )
  const all = await collect(test.errand.events.read())
  expect(all.map(({ jobId }) => jobId)).toEqual(receipts.map(({ id }) => id))
  expect(await collect(test.errand.events.read({ after: all[999]?.cursor }))).toEqual([all[1_000]])
  expect(await collect(test.errand.events.read({ tag: '7' }))).toHaveLength(1)
})

test('wrong cursors, ids and options are refused', async () => {
  await using test = testInstance()
  const first = (options: object) => test.errand.events.follow(options)[Symbol.asyncIterator]().next()
  expect(await catchRefusal(() => first({ after: 'yesterday' }))).toMatchObject({ code: 'E_CURSOR' })
  expect(await catchRefusal(() => first({ after: '9.1' }))).toMatchObject({ code: 'E_CURSOR' })
  expect(await catchRefusal(() => first({ job: '7' }))).toMatchObject({ code: 'E_ID' })
  expect(await catchRefusal(() => first({ job: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' }))).toMatchObject({
    code: 'E_NOT_FOUND',
  })
  expect(await catchRefusal(() => first({ from: 'start' }))).toMatchObject({ code: 'E_OPTION' })
})
