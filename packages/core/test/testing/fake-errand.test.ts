import { expect, test } from 'vitest'
import { z } from 'zod'
import { createErrand, defineJob, defineWorker, fixed, handle, PermanentError } from '../../src/index.ts'
import { fakeErrand, silentLogger } from '../../src/testing.ts'
import { catchRefusal } from '../catch-refusal.ts'

const receiptMail = defineJob({
  name: 'mail.receipt',
  payload: z.object({ to: z.string(), cc: z.string().default('') }),
})
const flaky = defineJob({ name: 'flaky', payload: z.number(), retry: { attempts: 3, backoff: fixed('10s') } })

/** What an application's module would export: it could not connect anywhere. */
const errand = createErrand({ log: 'postgres://nowhere.invalid/app', logger: silentLogger })
const placeOrder = (to: string) => errand.dispatch(receiptMail, { to })

test('an application’s own instance is faked, without a change in its code', async () => {
  using fake = fakeErrand(errand)
  await placeOrder('ann')
  await placeOrder('bob')
  expect(fake.dispatched(receiptMail)).toMatchObject([{ payload: { to: 'ann' } }, { payload: { to: 'bob' } }])
  expect(fake.dispatched(flaky)).toEqual([])
})

test('run does all that is due with the worker’s real code, in order, children too', async () => {
  using fake = fakeErrand(errand)
  const sent: string[] = []
  const worker = defineWorker({
    concurrency: 1,
    handlers: [
      handle(receiptMail, async ({ to, cc }, ctx) => {
        sent.push(`${to}${cc}`)
        if (to === 'ann') await ctx.dispatch(receiptMail, { to: 'child' })
      }),
    ],
  })
  await placeOrder('ann')
  await placeOrder('bob')
  expect(await fake.run(worker)).toEqual({ succeeded: 3, failed: 0, errors: [] })
  expect(sent).toEqual(['ann', 'bob', 'child'])
  expect(await fake.run(worker)).toEqual({ succeeded: 0, failed: 0, errors: [] })
})

test('a child knows its parent and gets its meta, with its own over it', async () => {
  using fake = fakeErrand()
  const child = defineJob({ name: 'child' })
  const meta = { tenant: 'acme', trace: '1' }
  const parent = defineJob({ name: 'parent' })
  const worker = defineWorker({
    handlers: [
      handle(parent, (_, ctx) => ctx.dispatch(child, undefined, { meta: { trace: '2' } })),
      handle(child, () => undefined),
    ],
  })
  const { id } = await fake.errand.dispatch(parent, undefined, { meta })
  await fake.run(worker)
  const [dispatched] = fake.dispatched(child)
  expect(await fake.errand.jobs.get(dispatched?.id ?? '')).toMatchObject({
    parentId: id,
    meta: { tenant: 'acme', trace: '2' },
  })
})

test('a delayed job waits until the clock is moved', async () => {
  using fake = fakeErrand()
  const worker = defineWorker({ handlers: [handle(receiptMail, () => undefined)] })
  await fake.errand.dispatch(receiptMail, { to: 'ann' }, { delay: '3h' })
  expect(await fake.run(worker)).toMatchObject({ succeeded: 0 })
  await fake.advance('2h')
  expect(await fake.run(worker)).toMatchObject({ succeeded: 0 })
  await fake.advance('1h')
  expect(await fake.run(worker)).toMatchObject({ succeeded: 1 })
})

test('a job that errs waits for its backoff, and fails when its attempts are used up', async () => {
  using fake = fakeErrand()
  let attempts = 0
  const worker = defineWorker({
    handlers: [
      handle(flaky, () => {
        attempts += 1
        throw new TypeError('boom')
      }),
    ],
  })
  const { id } = await fake.errand.dispatch(flaky, 1)
  const first = await fake.run(worker)
  expect(first).toMatchObject({
    failed: 0,
    errors: [{ id, name: 'flaky', error: { name: 'TypeError', message: 'boom' } }],
  })
  await fake.advance('10s')
  expect(await fake.run(worker)).toMatchObject({ failed: 0 })
  await fake.advance('10s')
  expect(await fake.run(worker)).toMatchObject({ failed: 1 })
  expect(attempts).toBe(3)
  expect(await catchRefusal(() => fake.errand.result({ id, status: 'added' }))).toMatchObject({
    code: 'E_RESULT_FAILED',
  })
})

test('a retry that is due at once belongs to the same run', async () => {
  using fake = fakeErrand()
  const eager = defineJob({ name: 'eager', retry: { backoff: fixed(0) } })
  const worker = defineWorker({
    handlers: [
      handle(eager, (_, ctx) => {
        if (ctx.attempt < 3) throw new Error('not yet')
      }),
    ],
  })
  await fake.errand.dispatch(eager)
  expect(await fake.run(worker)).toMatchObject({ succeeded: 1, errors: [{}, {}] })
})

test('a handler that waits for something real is waited for', async () => {
  using fake = fakeErrand()
  const worker = defineWorker({
    handlers: [handle(receiptMail, () => new Promise((resolve) => setTimeout(resolve, 120)))],
  })
  await fake.errand.dispatch(receiptMail, { to: 'ann' })
  expect(await fake.run(worker)).toMatchObject({ succeeded: 1 })
})

test('hooks and failed() of the worker are called', async () => {
  using fake = fakeErrand()
  const told: string[] = []
  const worker = defineWorker({
    handlers: [
      handle(
        flaky,
        () => {
          throw new PermanentError('useless')
        },
        { failed: (n, error) => void told.push(`failed ${n} ${error.message}`) },
      ),
    ],
    before: ({ job }) => void told.push(`before ${job.name}`),
    after: ({ outcome }) => void told.push(`after ${outcome}`),
  })
  await fake.errand.dispatch(flaky, 7)
  expect(await fake.run(worker)).toMatchObject({ failed: 1 })
  expect(told).toEqual(expect.arrayContaining(['before flaky', 'after failed', 'failed 7 useless']))
})

test('a queue that the worker does not serve, or that is paused, does not keep run waiting', async () => {
  using fake = fakeErrand()
  await fake.errand.dispatch(receiptMail, { to: 'ann' }, { queue: 'elsewhere' })
  await fake.errand.dispatch(receiptMail, { to: 'bob' })
  await fake.errand.queues.pause('default', 'mia')
  const worker = defineWorker({ handlers: [handle(receiptMail, () => undefined)] })
  expect(await fake.run(worker)).toMatchObject({ succeeded: 0 })
})

test('a worker that cannot start rejects the run', async () => {
  using fake = fakeErrand()
  const broken = () => {
    throw new Error('no database')
  }
  await expect(fake.run(broken)).rejects.toThrow('no database')
})

test('duplicates are not counted as dispatched', async () => {
  using fake = fakeErrand()
  await fake.errand.dispatch(receiptMail, { to: 'ann' }, { uniqueKey: 'u' })
  await fake.errand.dispatch(receiptMail, { to: 'ann' }, { uniqueKey: 'u' })
  expect(fake.dispatched(receiptMail)).toHaveLength(1)
})

test('one instance is faked once at a time, and is itself again after the scope', async () => {
  {
    using fake = fakeErrand(errand)
    expect(await catchRefusal(() => fakeErrand(errand))).toMatchObject({ code: 'E_FAKE' })
    expect(fake.errand).toBe(errand)
  }
  using again = fakeErrand(errand)
  await placeOrder('ann')
  expect(again.dispatched(receiptMail)).toHaveLength(1)
})

test('after its scope a fake refuses to work', async () => {
  const fake = fakeErrand()
  fake[Symbol.dispose]()
  fake[Symbol.dispose]()
  expect(await catchRefusal(() => fake.dispatched(flaky))).toMatchObject({ code: 'E_FAKE' })
  expect(await catchRefusal(() => fake.run({ handlers: [] }))).toMatchObject({ code: 'E_FAKE' })
  expect(await catchRefusal(() => fake.advance('1s'))).toMatchObject({ code: 'E_FAKE' })
})

test('what createErrand did not make cannot be faked', async () => {
  expect(await catchRefusal(() => fakeErrand({} as never))).toMatchObject({ code: 'E_OPTION' })
})
