import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, ErrandError } from '../../src/index.ts'
import type { NewJob } from '../../src/ports.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { collect } from '../collect.ts'
import { testInstance } from '../instance.ts'

const plain = defineJob({ name: 'plain', payload: z.number() })
const keyed = defineJob({ name: 'keyed', payload: z.string(), order: { key: () => 'k' } })
const unique = defineJob({ name: 'unique', payload: z.string(), unique: { key: (text) => text } })

/** An instance that keeps the batches which reach the log. */
function batching() {
  const batches: string[][] = []
  const test = testInstance({
    log: (log) => ({
      append: (jobs: readonly NewJob[], options) => {
        batches.push(jobs.map(({ payload }) => payload.text))
        return log.append(jobs, options)
      },
    }),
  })
  return { ...test, batches }
}

test('single dispatches of one tick reach the log in one statement, those with a key in another', async () => {
  await using test = batching()
  await Promise.all([
    test.errand.dispatch(plain, 1),
    test.errand.dispatch(keyed, 'a'),
    test.errand.dispatch(plain, 2),
    test.errand.dispatch(unique, 'b'),
    test.errand.dispatch(plain, 3),
  ])
  expect(test.batches).toEqual([
    ['1', '2', '3'],
    ['"a"', '"b"'],
  ])
})

test('jobs of one key are stored in the order of the calls, awaited or not', async () => {
  await using test = testInstance()
  const receipts = await Promise.all(
    Array.from({ length: 50 }, (_, n) => test.errand.dispatch(keyed, String(n))),
  )
  const jobs = await collect(test.errand.jobs.list())
  expect(jobs.toReversed().map(({ id }) => id)).toEqual(receipts.map(({ id }) => id))
})

test('a dispatch whose unique key is held answers with the job that holds it', async () => {
  await using test = testInstance()
  const first = await test.errand.dispatch(unique, 'a')
  expect(await test.errand.dispatch(unique, 'a')).toEqual({ id: first.id, status: 'duplicate' })
  expect(await test.errand.dispatch(unique, 'b')).toMatchObject({ status: 'added' })
})

test('the same id again is a duplicate: a retry after an unknown end is safe', async () => {
  await using test = testInstance()
  const { id } = await test.errand.dispatch(plain, 1)
  expect(await test.errand.dispatch(plain, 1, { id })).toEqual({ id, status: 'duplicate' })
  expect(await collect(test.errand.jobs.list())).toHaveLength(1)
})

test('one that the log refuses does not take its neighbours along', async () => {
  await using test = testInstance({
    log: (log) => ({
      append: async (jobs, options) => {
        const bad = (job: NewJob) => job.payload.text === '2'
        const stored = await log.append(
          jobs.filter((job) => !bad(job)),
          options,
        )
        const rest = stored.values()
        return jobs.map((job) =>
          bad(job)
            ? { id: job.id, status: 'refused' as const, why: 'a character' }
            : (rest.next().value ?? never()),
        )
      },
    }),
  })
  const [one, two, three] = await Promise.allSettled([1, 2, 3].map((n) => test.errand.dispatch(plain, n)))
  expect([one?.status, two?.status, three?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(two).toMatchObject({ reason: { code: 'E_LOG', ids: [expect.any(String)] } })
})

test('a log that cannot be reached rejects with its code and the ids; the next dispatch tries again', async () => {
  let reachable = false
  await using test = testInstance({
    log: (log) => ({
      connect: async () => {
        if (!reachable) throw new ErrandError('E_LOG_UNREACHABLE', 'connection refused')
        return log.connect()
      },
    }),
  })
  const refusal = await catchRefusal(() => test.errand.dispatch(plain, 1))
  expect(refusal).toMatchObject({ code: 'E_LOG_UNREACHABLE', ids: [expect.any(String)] })
  reachable = true
  expect(await test.errand.dispatch(plain, 1)).toMatchObject({ status: 'added' })
})

test('a reply that is lost says unknown, and dispatching again with the id of the error stores one job', async () => {
  let lost = true
  await using test = testInstance({
    log: (log) => ({
      append: async (jobs, options) => {
        const appended = await log.append(jobs, options)
        if (lost) throw new ErrandError('E_LOG_UNREACHABLE', 'connection reset')
        return appended
      },
    }),
  })
  const unknown = await catchRefusal(() => test.errand.dispatch(plain, 1))
  expect(unknown).toMatchObject({ code: 'E_DISPATCH_UNKNOWN', ids: [expect.any(String)] })
  lost = false
  const [id] = unknown.ids ?? []
  expect(await test.errand.dispatch(plain, 1, { id })).toEqual({ id, status: 'duplicate' })
  expect(await collect(test.errand.jobs.list())).toHaveLength(1)
})

test('any other error of a log comes as an ErrandError with the ids', async () => {
  const cause = new RangeError('index corrupt')
  await using test = testInstance({ log: () => ({ append: () => Promise.reject(cause) }) })
  expect(await catchRefusal(() => test.errand.dispatch(plain, 1))).toMatchObject({
    code: 'E_LOG',
    cause,
    ids: [expect.any(String)],
  })
})

test('many are stored in one transaction, and answered in their order', async () => {
  const options: unknown[] = []
  await using test = testInstance({
    log: (log) => ({ append: (jobs, given) => (options.push(given), log.append(jobs, given)) }),
  })
  const receipts = await test.errand.dispatchMany([
    plain.with(1),
    unique.with('a'),
    unique.with('a'),
    plain.with(2),
  ])
  expect(receipts.map(({ status }) => status)).toEqual(['added', 'added', 'duplicate', 'added'])
  expect(receipts[2]?.id).toBe(receipts[1]?.id)
  expect(options).toEqual([{ atomic: true, wake: ['events', 'queue:default'] }])
  expect(await test.errand.dispatchMany([])).toEqual([])
})

test('one bad request of many: none is stored, and the error says which and why', async () => {
  await using test = testInstance()
  const requests = [plain.with(1), plain.with('two' as never), 'three' as never, plain.with(4, { delay: -1 })]
  const refusal = await catchRefusal(() => test.errand.dispatchMany(requests))
  expect(refusal.code).toBe('E_BATCH_REFUSED')
  expect(refusal.requests?.map((each) => each?.code)).toEqual([
    undefined,
    'E_PAYLOAD_INVALID',
    'E_OPTION',
    'E_DURATION',
  ])
  expect(await collect(test.errand.jobs.list())).toEqual([])
})

test('two definitions of one name in one call are refused', async () => {
  await using test = testInstance()
  const twin = defineJob({ name: 'plain', payload: z.string() })
  const refusal = await catchRefusal(() => test.errand.dispatchMany([plain.with(1), twin.with('a')]))
  expect(refusal).toMatchObject({ code: 'E_DUPLICATE_JOB', message: expect.stringContaining("'plain'") })
})

test('dispatchMany refuses what is not a list, and unknown options', async () => {
  await using test = testInstance()
  expect(await catchRefusal(() => test.errand.dispatchMany(plain.with(1) as never))).toMatchObject({
    code: 'E_OPTION',
  })
  expect(await catchRefusal(() => test.errand.dispatchMany([], { atomic: true } as never))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('closing waits for what was dispatched; afterwards nothing is', async () => {
  await using test = testInstance()
  const dispatched = test.errand.dispatch(plain, 1)
  const closing = test.errand.close()
  expect(await catchRefusal(() => test.errand.dispatch(plain, 2))).toMatchObject({ code: 'E_CLOSED' })
  expect(await dispatched).toMatchObject({ status: 'added' })
  await closing
})

test('closing waits for the transaction of a dispatchMany, and for its tickets', async () => {
  const order: string[] = []
  let answer = (): void => undefined
  const asked = new Promise<void>((resolve) => {
    answer = resolve
  })
  await using test = testInstance({
    log: (log) => ({
      append: async (jobs, options) => {
        await asked
        order.push('stored')
        return log.append(jobs, options)
      },
      close: async () => {
        order.push('closed')
        await log.close()
      },
    }),
  })
  await test.errand.connect()
  const dispatched = test.errand.dispatchMany([plain.with(1)])
  const closing = test.errand.close()
  for (let turn = 0; turn < 10; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
  answer()
  expect(await dispatched).toMatchObject([{ status: 'added' }])
  await closing
  expect(order).toEqual(['stored', 'closed'])
})

function never(): never {
  throw new Error('more answers were asked for than there are')
}
