import { expect, test } from 'vitest'
import { createErrand, defineJob, defineWorker, handle } from '../src/index.ts'
import type { Errand } from '../src/index.ts'
import { memoryDriver, memoryLog, silentLogger } from '../src/testing.ts'
import { fakeContext } from '../src/testing/fake-context.ts'
import { fakeErrand } from '../src/testing/fake-errand.ts'
import { catchRefusal } from './catch-refusal.ts'
import { stage } from './worker/stage.ts'

const job = defineJob({ name: 'job', queue: 'media' })
const handler = handle(job, () => undefined)
const none = null as never

test.each<readonly [what: string, act: () => unknown]>([
  ['createErrand', () => createErrand(none)],
  ['defineWorker', () => defineWorker(none)],
  ['concurrency', () => defineWorker({ handlers: [handler], concurrency: none })],
  ['handle', () => handle(job, () => undefined, none)],
  ['fakeErrand', () => fakeErrand(undefined, none)],
  ['fakeContext', () => fakeContext(job, none)],
])('null where %s takes an object is refused with a code', async (_what, act) => {
  expect(await catchRefusal(act)).toMatchObject({ code: 'E_OPTION' })
})

test.each<readonly [what: string, act: () => unknown, meant: string]>([
  ['fakeErrand', () => fakeErrand(undefined, { loger: 1 } as never), 'logger'],
  ['fakeContext', () => fakeContext(job, { atempt: 2 } as never), 'attempt'],
])('an unknown option of %s is refused with what was meant', (_what, act, meant) => {
  expect(act).toThrow(
    expect.objectContaining({
      code: 'E_OPTION',
      message: expect.stringContaining(`did you mean "${meant}"`),
    }),
  )
})

test.each<readonly [what: string, act: (errand: Errand) => unknown, help: string]>([
  ['work() with a path', (errand) => errand.work('./worker.ts' as never), 'defineWorker()'],
  ['work() without a worker', (errand) => errand.work(undefined as never), 'defineWorker()'],
  ['jobs.cancel()', (errand) => errand.jobs.cancel({ tag: 'a' }, undefined as never), '{ by }'],
  [
    'queues.limit()',
    (errand) => errand.queues.limit('media', { concurrency: 2 }, undefined as never),
    '{ by }',
  ],
  ['queues.pause()', (errand) => errand.queues.pause('media', undefined as never), '{ by }'],
])('%s that lacks what it needs is refused with what to pass', async (_what, act, help) => {
  await using errand = createErrand({ log: memoryLog(), driver: memoryDriver(), logger: silentLogger })
  expect(await catchRefusal(async () => act(errand))).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining(help),
  })
})

test('a function that returns no worker is refused when the worker starts, with what to return', async () => {
  await using on = stage()
  await expect(on.work((() => undefined) as never)).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringMatching(/function returned undefined.*defineWorker/),
  })
})

test('slots for a queue that no handler has are refused when the worker starts, with what was meant', async () => {
  await using on = stage()
  const definition = { handlers: [handler], concurrency: { meda: 2 } }
  await expect(on.work(definition)).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('did you mean "media"'),
  })
  await expect(on.work(definition, { queues: ['meda'] })).resolves.toBeDefined()
})

test.each<[limit: unknown, help: string]>([
  [{ concurrency: 0 }, 'pause the queue'],
  [{ concurrency: 1.5 }, 'a whole number from 1 to 10000'],
  [{ concurrency: -1 }, 'a whole number from 1 to 10000'],
  [{ concurrency: '5' }, 'a whole number from 1 to 10000'],
  [{}, 'a whole number from 1 to 10000'],
  [{ concurency: 5 }, 'did you mean "concurrency"'],
  [5, 'queues.limit()'],
])('a limit of a queue of %j is refused with what to write', async (limit, help) => {
  await using errand = createErrand({ log: memoryLog(), driver: memoryDriver(), logger: silentLogger })
  expect(await catchRefusal(async () => errand.queues.limit('media', limit as never, 'ann'))).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining(help),
  })
  expect(await errand.queues.get('media')).toBeUndefined()
})
