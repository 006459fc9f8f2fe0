import { expect, test } from 'vitest'
import { resolvedHandler } from '../../src/define/handler.ts'
import { resolveWorker } from '../../src/define/worker.ts'
import { defineJob, defineWorker, handle } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'

const job = defineJob({ name: 'a' })
const handlers = [handle(job, () => undefined)]
const loosely = (worker: object) => () => defineWorker({ handlers, ...worker })

test('a worker that says nothing but its handlers gets every default', () => {
  const worker = resolveWorker({ handlers })
  expect(worker).toMatchObject({
    concurrency: { '*': 10 },
    leaseMs: 30_000,
    heartbeatMs: 5_000,
    graceMs: 25_000,
  })
  expect([...worker.handlers.keys()]).toEqual(['a'])
})

test('concurrency is a number for all queues, or one per queue with the rest shared', () => {
  expect(resolveWorker({ handlers, concurrency: 3 }).concurrency).toEqual({ '*': 3 })
  expect(resolveWorker({ handlers, concurrency: { media: 2 } }).concurrency).toEqual({ media: 2, '*': 10 })
  expect(resolveWorker({ handlers, concurrency: { media: 2, '*': 1 } }).concurrency).toEqual({
    media: 2,
    '*': 1,
  })
})

test('a short lease beats more often', () => {
  expect(resolveWorker({ handlers, lease: '3s' })).toMatchObject({ leaseMs: 3_000, heartbeatMs: 500 })
})

test('a lease shorter than three heartbeats is refused', async () => {
  const refusal = await catchRefusal(loosely({ lease: '2s', heartbeat: '1s' }))
  expect(refusal).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('at least 3 heartbeats'),
  })
  expect(resolveWorker({ handlers, lease: '3s', heartbeat: '1s' }).heartbeatMs).toBe(1_000)
  expect(await catchRefusal(loosely({ lease: 0 }))).toMatchObject({ code: 'E_OPTION' })
})

test('two handlers of one name are refused, also when their jobs are two definitions', async () => {
  const twin = defineJob({ name: 'a', queue: 'other' })
  const refusal = await catchRefusal(loosely({ handlers: [...handlers, handle(twin, () => undefined)] }))
  expect(refusal).toMatchObject({ code: 'E_DUPLICATE_JOB', message: expect.stringContaining("'a'") })
})

test.each([
  [{ handlers: undefined }],
  [{ handlers: [{ job: 'a' }] }],
  [{ handlers: [undefined] }],
  [{ concurrency: 0 }],
  [{ concurrency: 2.5 }],
  [{ concurrency: { media: -1 } }],
  [{ middleware: () => undefined }],
  [{ middleware: ['a'] }],
  [{ before: 'log' }],
  [{ stop: true }],
  [{ concurency: 3 }],
])('%j is a wrong option', async (worker) => {
  expect(await catchRefusal(loosely(worker))).toMatchObject({ code: 'E_OPTION' })
})

test('a queue of the concurrency must be a name, and a grace a duration', async () => {
  expect(await catchRefusal(loosely({ concurrency: { 'a b': 1 } }))).toMatchObject({ code: 'E_NAME' })
  expect(await catchRefusal(loosely({ grace: 'long' }))).toMatchObject({ code: 'E_DURATION' })
})

test('a factory is not called by defineWorker', () => {
  let called = false
  const factory = defineWorker(() => {
    called = true
    return { handlers }
  })
  expect([typeof factory, called]).toEqual(['function', false])
})

test('a handler for a job that does not exist is refused, with a hint at the import', async () => {
  const refusal = await catchRefusal(() => handle(undefined as never, () => undefined))
  expect(refusal).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('defineJob') })
  expect(await catchRefusal(() => handle({ name: 'a' } as never, () => undefined))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('a handler must be a function, and its options known', async () => {
  expect(await catchRefusal(() => handle(job, 'run' as never))).toMatchObject({ code: 'E_OPTION' })
  expect(
    await catchRefusal(() => handle(job, () => 1, { onFailed: () => undefined } as never)),
  ).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('"failed"'),
  })
  expect(await catchRefusal(() => handle(job, () => 1, { failed: 'x' } as never))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('core reads a handler with its options', () => {
  const failed = (): undefined => undefined
  const handler = handle(job, () => 7, { failed })
  expect(resolvedHandler(handler)).toMatchObject({ job, middleware: [], failed })
})
