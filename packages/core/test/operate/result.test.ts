import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, ErrandError, handle } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'
import { failure, handWorker, succeed } from './support.ts'

const job = defineJob({ name: 'a', payload: z.string(), returns: z.object({ n: z.number() }) })
const turns = async (count: number): Promise<void> => {
  for (let index = 0; index < count; index += 1) await new Promise<void>((resolve) => setImmediate(resolve))
}

test('the result of a job that has ended, and of one that ends later', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  const waiting = test.errand.result(receipt)
  await turns(10)
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), succeed({ n: 7 }))
  await test.log().notify(['events'])
  expect(await waiting).toEqual({ n: 7 })
  expect(await test.errand.result(receipt)).toEqual({ n: 7 })
})

test('a job without a result gives undefined', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(defineJob({ name: 'b' }))
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), succeed())
  expect(await test.errand.result(receipt)).toBeUndefined()
})

test('a job that failed rejects with its error as the cause; a retry in between does not', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  const waiting = catchRefusal(() => test.errand.result(receipt))
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), failure('first', 0))
  await test.log().sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
  await worker.settle(await worker.take(), failure('second'))
  await test.clock.advance(1_000)
  expect(await waiting).toMatchObject({
    code: 'E_RESULT_FAILED',
    ids: [receipt.id],
    message: expect.stringContaining('second'),
    cause: { name: 'TypeError', message: 'second' },
  })
})

test('a cancelled job rejects', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  await test.errand.jobs.cancel(receipt.id, { by: 'mia' })
  expect(await catchRefusal(() => test.errand.result(receipt))).toMatchObject({
    code: 'E_RESULT_FAILED',
    message: expect.stringContaining('was cancelled'),
  })
})

test('however many wait, they ask the log together, and read the record of a job that has ended', async () => {
  const asked = { together: [] as number[], records: 0 }
  await using test = testInstance({
    log: (log) => ({
      unfinished: (ids) => {
        asked.together.push(ids.length)
        return log.unfinished(ids)
      },
      get: (id) => {
        asked.records += 1
        return log.get(id)
      },
    }),
  })
  const receipts = await test.errand.dispatchMany(Array.from({ length: 200 }, () => job.with('x')))
  const waiting = Promise.all(receipts.map((receipt) => test.errand.result(receipt)))
  await turns(10)
  const worker = await handWorker(test.log())
  for (const n of receipts.keys()) await worker.settle(await worker.take(), succeed({ n }))
  await test.log().notify(['events'])
  expect(await waiting).toEqual(Array.from(receipts.keys(), (n) => ({ n })))
  expect(asked.together[0]).toBe(200)
  expect(asked.together.length).toBeLessThan(7)
  expect(asked.records).toBe(200)
})

test('who waits for a job that a worker of the same instance runs hears of its end without the log', async () => {
  const asked = { whether: 0, records: 0 }
  await using test = testInstance({
    log: (log) => ({
      unfinished: (ids) => {
        asked.whether += ids.length
        return log.unfinished(ids)
      },
      get: (id) => {
        asked.records += 1
        return log.get(id)
      },
      // No wake-ups: waiters can hear only from the worker.
      notify: async () => undefined,
    }),
  })
  const receipts = await test.errand.dispatchMany(Array.from({ length: 200 }, () => job.with('x')))
  const waiting = Promise.all(receipts.map((receipt) => test.errand.result(receipt)))
  await turns(10)
  const worker = test.errand.work(
    { concurrency: 50, handlers: [handle(job, () => ({ n: 7 }))] },
    { signals: false },
  )
  expect(await waiting).toEqual(receipts.map(() => ({ n: 7 })))
  expect(asked.records).toBe(0)
  // When it begins to wait, and in the one look that the dispatch has asked for.
  expect(asked.whether).toBeLessThan(400)
  await worker.stop()
})

test('the end that a worker of the same instance tells is the end that the log has', async () => {
  let lost = 0
  await using test = testInstance({
    log: (log) => ({
      // The answers to some outcomes are lost on the way: they are offered again.
      settle: async (settlements, by) => {
        const answers = await log.settle(settlements, by)
        if (lost++ < 2) throw new ErrandError('E_LOG_UNREACHABLE', 'the connection is gone')
        return answers
      },
    }),
  })
  const ends: Readonly<Record<string, () => unknown>> = {
    returns: () => ({ n: 7 }),
    returnsNothing: () => undefined,
    throws: () => {
      throw new TypeError('no')
    },
    returnsWhatJsonCannotCarry: () => ({ n: Number.NaN }),
  }
  const jobs = Object.keys(ends).map((name) => defineJob({ name, retry: { attempts: 1 } }))
  const receipts = await test.errand.dispatchMany(jobs.map((each) => each.with(undefined)))
  const told = (): Promise<readonly PromiseSettledResult<unknown>[]> =>
    Promise.allSettled(receipts.map((receipt) => test.errand.result(receipt)))
  const waiting = told()
  await turns(10)
  const worker = test.errand.work(
    { handlers: jobs.map((each) => handle(each, () => ends[each.name]?.() as never)) },
    { signals: false },
  )
  await worker.ready
  for (let second = 0; second < 5; second += 1) await test.clock.advance(1_000)
  expect(await waiting).toEqual(await told())
  expect(lost).toBeGreaterThan(2)
  await worker.stop()
})

test('the work for each who waits is the same however many wait', async () => {
  const perWaiter = async (count: number): Promise<number> => {
    let asked = 0
    await using test = testInstance({
      log: (log) => ({
        unfinished: (ids) => {
          asked += ids.length
          return log.unfinished(ids)
        },
      }),
    })
    const receipts = await test.errand.dispatchMany(Array.from({ length: count }, () => job.with('x')))
    const waiting = receipts.map((receipt) => test.errand.result(receipt))
    await turns(10)
    const worker = await handWorker(test.log())
    // One after the other, and each wakes all listeners: the most that they can be made to ask.
    for (const n of receipts.keys()) {
      await worker.settle(await worker.take(), succeed({ n }))
      await test.log().notify(['events'])
      expect(await waiting[n]).toEqual({ n })
    }
    return asked / count
  }
  expect(await perWaiter(100)).toBeLessThan(110)
  expect(await perWaiter(800)).toBeLessThan(110)
})

test('a job that ends out of turn is noticed too: all are looked at once a second', async () => {
  await using test = testInstance()
  const receipts = await test.errand.dispatchMany(Array.from({ length: 600 }, () => job.with('x')))
  const first = await test.errand.dispatch(job, 'x', { lane: 'critical' })
  const waiting = receipts.map((receipt) => test.errand.result(receipt).catch(() => undefined))
  const mine = test.errand.result(first)
  await turns(10)
  const worker = await handWorker(test.log())
  await worker.settle(await worker.take(), succeed({ n: 7 }))
  await test.clock.advance(1_000)
  expect(await mine).toEqual({ n: 7 })
  await test.errand.close()
  await Promise.all(waiting)
})

test('closing rejects who waits at once, also where the log does not answer', async () => {
  await using test = testInstance({ log: () => ({ unfinished: () => new Promise<never>(() => {}) }) })
  const receipt = await test.errand.dispatch(job, 'x')
  const waiting = catchRefusal(() => test.errand.result(receipt))
  await turns(10)
  await test.errand.close()
  expect(await waiting).toMatchObject({ code: 'E_CLOSED' })
})

test('a timeout rejects and leaves the job alone', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  const waiting = catchRefusal(() => test.errand.result(receipt, { timeout: '5s' }))
  await turns(10)
  for (let second = 0; second < 5; second += 1) await test.clock.advance(1_000)
  expect(await waiting).toMatchObject({ code: 'E_RESULT_TIMEOUT', ids: [receipt.id] })
  expect(await test.errand.jobs.get(receipt.id)).toMatchObject({ state: 'ready' })
})

test('the caller’s signal rejects with its reason', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  const stop = new AbortController()
  const waiting = test.errand.result(receipt, { signal: stop.signal })
  await turns(10)
  const reason = new Error('the request was closed')
  stop.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(test.errand.result(receipt, { signal: stop.signal })).rejects.toBe(reason)
})

test('closing the instance rejects who waits', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 'x')
  const waiting = catchRefusal(() => test.errand.result(receipt))
  await turns(10)
  await test.errand.close()
  expect(await waiting).toMatchObject({ code: 'E_CLOSED' })
})

test('unknown jobs and wrong options are refused', async () => {
  await using test = testInstance()
  const id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
  const wait = (receipt: unknown, options?: object) => () => test.errand.result(receipt as never, options)
  expect(await catchRefusal(wait({ id, status: 'added' }))).toMatchObject({ code: 'E_NOT_FOUND' })
  expect(await catchRefusal(wait({ id: '7', status: 'added' }))).toMatchObject({ code: 'E_ID' })
  expect(await catchRefusal(wait(id))).toMatchObject({ code: 'E_OPTION' })
  expect(await catchRefusal(wait({ id }, { timeout: 'soon' }))).toMatchObject({ code: 'E_DURATION' })
  expect(await catchRefusal(wait({ id }, { wait: '1s' }))).toMatchObject({ code: 'E_OPTION' })
})
