import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, ErrandError } from '../../src/index.ts'
import type { JobEvent } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'
import { follow, turn, turns, until } from './following.ts'
import { handWorker, succeed } from './support.ts'

const job = defineJob({
  name: 'a',
  payload: z.string(),
  returns: z.object({ n: z.number() }),
  tags: (text) => [text],
})

/** An instance that counts what it reads of the log. */
function countingReads() {
  const counted = Object.assign(
    testInstance({
      log: (log) => ({
        read: (options) => {
          counted.reads += 1
          return log.read(options)
        },
      }),
    }),
    { reads: 0 },
  )
  return counted
}

test('many followers cost the log one listener', async () => {
  let listeners = 0
  await using test = testInstance({
    log: (log) => ({
      async *wakeups(topics, signal) {
        listeners += 1
        yield* log.wakeups(topics, signal)
        listeners -= 1
      },
    }),
  })
  const stop = new AbortController()
  const all = [1, 2, 3].map(() => follow(test.errand.events.follow({ after: 'start', signal: stop.signal })))
  await test.errand.dispatch(job, 'x')
  await until(() => all.every(({ seen }) => seen.length === 1))
  expect(listeners).toBe(1)
  stop.abort()
  await Promise.all(all.map(({ done }) => done))
  await until(() => listeners === 0)
})

test('the work for each who follows a job is the same however many follow', async () => {
  const perFollower = async (count: number): Promise<{ readonly reads: number; readonly asked: number }> => {
    const all = { reads: 0, asked: 0 }
    await using test = testInstance({
      log: (log) => ({
        read: (options) => {
          all.reads += 1
          return log.read(options)
        },
        unfinished: (ids) => {
          all.asked += ids.length
          return log.unfinished(ids)
        },
      }),
    })
    const receipts = await test.errand.dispatchMany(Array.from({ length: count }, () => job.with('x')))
    const live = receipts.map(({ id }) => follow(test.errand.events.follow({ job: id })))
    await until(() => live.every(({ seen }) => seen.length === 1))
    const worker = await handWorker(test.log())
    // One after the other, and each wakes all listeners: the most that they can be made to ask.
    for (const { seen, done } of live) {
      const claim = await worker.take()
      await test.log().notify(['events'])
      await until(() => seen.length === 2)
      await worker.settle(claim, succeed({ n: 1 }))
      await test.log().notify(['events'])
      await done
      expect(seen.map(({ type }) => type)).toEqual(['dispatched', 'started', 'succeeded'])
    }
    return { reads: all.reads / count, asked: all.asked / count }
  }
  for (const count of [100, 800]) {
    const { reads, asked } = await perFollower(count)
    expect(reads).toBeLessThan(4)
    expect(asked).toBeLessThan(320)
  }
})

test('each follower of a tag costs the same, however many follow, and nothing for followers of another tag', async () => {
  const perFollower = async (count: number): Promise<number> => {
    await using test = countingReads()
    const stop = new AbortController()
    const tags = Array.from({ length: count }, (_, n) => `tag ${n}`)
    const live = tags.map((tag) =>
      follow(test.errand.events.follow({ tag, after: 'start', signal: stop.signal })),
    )
    await turns(20)
    await test.errand.dispatchMany(tags.map((tag) => job.with(tag)))
    await until(() => live.every(({ seen }) => seen.length === 1))
    const worker = await handWorker(test.log())
    // One after the other, and each wakes all listeners: the most that they can be made to read.
    for (const { seen } of live) {
      const claim = await worker.take()
      await test.log().notify(['events'])
      await until(() => seen.length === 2)
      await worker.settle(claim, succeed({ n: 1 }))
      await test.log().notify(['events'])
      await until(() => seen.length === 3)
    }
    stop.abort()
    await Promise.all(live.map(({ done }) => done))
    for (const [n, { seen }] of live.entries()) {
      expect(seen.map(({ type, tags: of }) => [type, ...of])).toEqual([
        ['dispatched', `tag ${n}`],
        ['started', `tag ${n}`],
        ['succeeded', `tag ${n}`],
      ])
    }
    return test.reads / count
  }
  expect(await perFollower(100)).toBeLessThan(8)
  expect(await perFollower(800)).toBeLessThan(8)
})

test('followers of a queue or tag miss nothing when they become many or few, or when the reader fails', async () => {
  let refused = 0
  await using test = testInstance({
    log: (log) => ({
      // The reads of the shared reader, which have no filter.
      read: async (options) => {
        if (options.queue !== undefined || options.tag !== undefined || refused > 2) return log.read(options)
        refused += 1
        throw new ErrandError('E_CURSOR', 'of another epoch')
      },
    }),
  })
  const followers: {
    readonly stop: AbortController
    readonly seen: JobEvent[]
    readonly done: Promise<void>
  }[] = []
  let dispatched = 0
  const oneMore = async (): Promise<void> => {
    await test.errand.dispatch(job, 'red', { queue: 'blue' })
    dispatched += 1
    await until(() => followers.every(({ seen }) => seen.length === dispatched))
  }
  const concerns = [{ tag: 'red' }, { queue: 'blue' }, { queue: 'blue', tag: 'red' }]
  for (let n = 0; n < 60; n += 1) {
    const stop = new AbortController()
    // One that follows everything comes, and is the first to go.
    const options = { ...(n === 59 ? {} : concerns[n % 3]), after: 'start', signal: stop.signal }
    followers.push({ stop, ...follow(test.errand.events.follow(options)) })
    await oneMore()
  }
  expect(refused).toBe(3)
  while (followers.length > 0) {
    const gone = followers.pop()
    gone?.stop.abort()
    await gone?.done
    if (followers.length > 0) await oneMore()
  }
})

test('ten followers of all events read as many pages as one', async () => {
  const countReads = async (count: number): Promise<number> => {
    await using test = countingReads()
    const stop = new AbortController()
    const live = Array.from({ length: count }, () =>
      follow(test.errand.events.follow({ after: 'start', signal: stop.signal })),
    )
    await test.errand.dispatch(job, 'first')
    await until(() => live.every(({ seen }) => seen.length === 1))
    await turns(20)
    test.reads = 0
    for (let page = 0; page < 20; page += 1) {
      await test.errand.dispatchMany(Array.from({ length: 200 }, () => job.with('x')))
      await test.log().notify(['events'])
      await until(() => live.every(({ seen }) => seen.length === 1 + 200 * (page + 1)))
    }
    stop.abort()
    await Promise.all(live.map(({ done }) => done))
    const [first, ...others] = live.map(({ seen }) => seen.map(({ cursor, jobId }) => [cursor, jobId]))
    for (const other of others) expect(other).toEqual(first)
    return test.reads
  }
  const one = await countReads(1)
  expect(await countReads(10)).toBeLessThanOrEqual(one + 1)
})

test('one that stops reading holds nobody up, and keeps few events in memory; it misses nothing', async () => {
  const total = 6_000
  const reads: number[] = []
  await using test = testInstance({
    log: (log) => ({
      read: (options) => {
        reads.push(Number(options.after?.split('.')[1] ?? 0))
        return log.read(options)
      },
    }),
  })
  const stop = new AbortController()
  const slow = test.errand.events.follow({ after: 'start', signal: stop.signal })[Symbol.asyncIterator]()
  const fast = follow(test.errand.events.follow({ after: 'start', signal: stop.signal }))
  await test.errand.dispatch(job, 'first')
  const begun = await slow.next()
  await until(() => fast.seen.length === 1)
  for (let count = 1; count < total;) {
    const many = Math.min(500, total - count)
    await test.errand.dispatchMany(Array.from({ length: many }, () => job.with('x')))
    count += many
    await test.log().notify(['events'])
    await until(() => fast.seen.length === count)
  }

  await turns(20)
  reads.length = 0
  const seen = [begun.value]
  while (seen.length < total) seen.push((await slow.next()).value)
  // Where it began to read for itself.
  expect(reads[0]).toBeLessThan(3_000)
  expect(seen).toEqual(fast.seen)
  // It has caught up, and follows the shared reader again.
  reads.length = 0
  const next = slow.next()
  await turns(20)
  await test.errand.dispatch(job, 'last')
  await test.log().notify(['events'])
  expect((await next).value).toMatchObject({ tags: ['last'] })
  await until(() => fast.seen.length === total + 1)
  expect(reads.length).toBeLessThan(5)
  stop.abort()
  await fast.done
})

test('who begins with earlier events, or from now on, sees each of the events once and in order', async () => {
  // Reads overlap with each other and with what is written.
  let count = 0
  const pause = (): Promise<void> => turns([0, 3, 1, 7, 2][(count += 1) % 5]!)
  await using test = testInstance({
    log: (log) => ({
      read: async (options) => {
        await pause()
        const page = await log.read(options)
        await pause()
        return page
      },
    }),
  })
  const stop = new AbortController()
  const first = follow(test.errand.events.follow({ after: 'start', signal: stop.signal }))
  const live = [first]
  const concerns = [{}, { tag: 'x' }, { queue: 'default' }, { queue: 'default', tag: 'x' }]
  for (let round = 0; round < 100; round += 1) {
    await test.errand.dispatchMany(Array.from({ length: 30 }, () => job.with('x')))
    await test.log().notify(['events'])
    await turns(round % 6)
    if (round % 4 > 0) continue
    const earlier = first.seen[Math.floor((first.seen.length * (round % 7)) / 7)]?.cursor
    const after = [undefined, earlier, 'start'][round % 3]
    live.push(follow(test.errand.events.follow({ ...concerns[round % 5], after, signal: stop.signal })))
  }
  await until(() => first.seen.length === 3_000)
  const last = first.seen.at(-1)?.cursor
  await until(() => live.every(({ seen }) => seen.at(-1)?.cursor === last))
  const all = first.seen.map(({ jobId }) => jobId)
  expect(new Set(all).size).toBe(3_000)
  for (const { seen } of live) {
    expect(seen.map(({ jobId }) => jobId)).toEqual(all.slice(all.length - seen.length))
  }
  stop.abort()
  await Promise.all(live.map(({ done }) => done))
})

test('what goes wrong with the log reaches each who follows a tag, however many', async () => {
  const gone = new ErrandError('E_LOG_UNREACHABLE', 'the log is gone')
  let down = false
  await using test = testInstance({
    log: (log) => ({
      read: async (options) => {
        if (down) throw gone
        return log.read(options)
      },
    }),
  })
  const live = Array.from({ length: 50 }, () =>
    follow(test.errand.events.follow({ tag: 'x', after: 'start' })),
  )
  await turns(20)
  await test.errand.dispatch(job, 'x')
  await until(() => live.every(({ seen }) => seen.length === 1))
  down = true
  const ends = Promise.all(live.map(({ done }) => catchRefusal(() => done)))
  await test.log().notify(['events'])
  expect(await ends).toEqual(live.map(() => gone))
})

test('what goes wrong with the log reaches each who follows, and nobody is left behind', async () => {
  const gone = new ErrandError('E_LOG_UNREACHABLE', 'the log is gone')
  let down = false
  await using test = testInstance({
    log: (log) => ({
      unfinished: async (ids) => {
        if (down) throw gone
        return log.unfinished(ids)
      },
    }),
  })
  const receipts = await test.errand.dispatchMany(Array.from({ length: 3 }, () => job.with('x')))
  const live = receipts.map(({ id }) => follow(test.errand.events.follow({ job: id })))
  await until(() => live.every(({ seen }) => seen.length === 1))
  for (let index = 0; index < 20; index += 1) await turn()
  down = true
  const ends = Promise.all(live.map(({ done }) => catchRefusal(() => done)))
  await test.log().notify(['events'])
  expect(await ends).toEqual([gone, gone, gone])
})

test('an abort ends one of those who follow the same job', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(job, 'x')
  const stop = new AbortController()
  const [one, other] = [
    follow(test.errand.events.follow({ job: id, signal: stop.signal })),
    follow(test.errand.events.follow({ job: id })),
  ]
  await until(() => one.seen.length === 1 && other.seen.length === 1)
  stop.abort()
  await one.done
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), succeed({ n: 1 }))
  await test.log().notify(['events'])
  await other.done
  expect([one.seen.length, other.seen.length]).toEqual([1, 3])
})
