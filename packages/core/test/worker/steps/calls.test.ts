import { expect, test } from 'vitest'
import { z } from 'zod'
import { batch, defineJob, defineWorker, handle } from '../../../src/index.ts'
import type { Context, JobHandler } from '../../../src/index.ts'
import { fakeErrand } from '../../../src/testing.ts'

const order = defineJob({ name: 'order', retry: { attempts: 3 } })
const label = defineJob({
  name: 'label',
  payload: z.object({ n: z.number() }),
  returns: z.object({ url: z.string() }),
  retry: { attempts: 1 },
})
const urls: JobHandler = handle(label, ({ n }, ctx) => (n < 0 ? ctx.fail(`no label ${n}`) : { url: `/${n}` }))

function story(run: (ctx: Context, tell: (line: unknown) => void) => unknown) {
  const fake = fakeErrand()
  const told: unknown[] = []
  const worker = defineWorker({
    handlers: [urls, handle(order, (_, ctx) => run(ctx, (line) => told.push(line)))],
  })
  return {
    fake,
    told,
    run: () => fake.run(worker),
    begin: async (meta?: Record<string, string>) => {
      const { id } = await fake.errand.dispatch(order, undefined, meta ? { meta } : {})
      await fake.run(worker)
      return id
    },
    get: (id: string) => fake.errand.jobs.get(id),
    [Symbol.dispose]: () => fake[Symbol.dispose](),
  }
}

test('a handler calls a job and gets its result, in a later run; the job is made once', async () => {
  using on = story(async (ctx, tell) => {
    tell(`run ${ctx.run}`)
    const { url } = await ctx.call('label', label, { n: 7 }, { tags: ['t'] })
    tell(url)
  })
  const id = await on.begin({ tenant: 'acme' })
  expect(on.told).toEqual(['run 1', 'run 2', '/7'])
  expect(await on.get(id)).toMatchObject({ state: 'succeeded' })
  const calls = on.fake.dispatched(label)
  expect(calls).toHaveLength(1)
  expect(await on.get(calls[0]!.id)).toMatchObject({ parentId: id, meta: { tenant: 'acme' }, tags: ['t'] })
})

test('a handler that dies between its call and its suspension has made one job', async () => {
  using on = story(async (ctx, tell) => {
    const called = ctx.call('label', label, { n: ctx.run })
    if (ctx.run === 1) {
      const soon = new Promise((_, reject) => setTimeout(() => reject(new Error('dies')), 3))
      await Promise.race([called, soon])
    }
    tell(await called)
  })
  const id = await on.begin()
  await on.fake.advance('1h')
  await on.run()
  expect(on.told).toEqual([{ url: '/1' }])
  expect(on.fake.dispatched(label)).toHaveLength(1)
  expect(await on.get(id)).toMatchObject({ state: 'succeeded' })
})

test('a call that fails is an error that can be caught; uncaught it fails its caller for good', async () => {
  using on = story(async (ctx, tell) => {
    await ctx.call('first', label, { n: -1 }).catch((error: unknown) => tell(error))
    await ctx.call('second', label, { n: -2 })
  })
  const id = await on.begin()
  expect(on.told[0]).toMatchObject({ code: 'E_CALL_FAILED', cause: { message: 'no label -1' } })
  const job = await on.get(id)
  expect(job).toMatchObject({ state: 'failed', attempt: 1, error: { code: 'E_CALL_FAILED' } })
})

test('a call of a batch gives the results of its members, in order; it is one wait', async () => {
  using on = story(async (ctx, tell) => {
    const all = [3, 1, 2].map((n) => label.with({ n }))
    tell(await ctx.call('labels', batch(all)))
  })
  const id = await on.begin()
  expect(on.told).toEqual([[{ url: '/3' }, { url: '/1' }, { url: '/2' }]])
  const history = await on.fake.errand.events.of(id)
  expect(history.filter(({ type }) => type === 'suspended')).toMatchObject([{ waits: ['labels'] }])
  expect(on.fake.dispatched(label)).toHaveLength(3)
})

test('a batch of which one fails fails the call; settled tells how each ended', async () => {
  using on = story(async (ctx, tell) => {
    const all = [1, -1].map((n) => label.with({ n }))
    await ctx.call('strict', batch(all)).catch((error: unknown) => tell(error))
    const ends = await ctx.call('settled', batch(all, { stopOnFailure: false }), { settled: true })
    tell(ends.map((end) => (end.state === 'succeeded' ? end.result.url : end.state)))
  })
  const id = await on.begin()
  expect(on.told.at(-1)).toEqual(['/1', 'failed'])
  expect(on.told[0]).toMatchObject({ code: 'E_CALL_FAILED' })
  expect(String(on.told[0])).toContain('of 2 members 1 failed')
  expect(await on.get(id)).toMatchObject({ state: 'succeeded' })
})

test('what is wrong with a called job is thrown where it is called', async () => {
  using on = story(async (ctx, tell) => {
    const wrong = [
      () => ctx.call('a', label, { n: 'x' } as never),
      () => ctx.call('b', label, { n: 1 }, { id: '0190b5a0-0000-4000-8000-000000000001' } as never),
      () => ctx.call('c', batch([label.with({ n: 1 })]), { settle: true } as never),
    ]
    for (const call of wrong) await call().catch((error: { code: string }) => tell(error.code))
  })
  await on.begin()
  expect(on.told).toEqual(['E_PAYLOAD_INVALID', 'E_OPTION', 'E_OPTION'])
})

test('a call that would wait for its caller is refused, by its key, in a batch, and if it is the caller', async () => {
  const ordered = { name: 'ordered', order: { key: () => 'k' }, queue: 'same' } as const
  const inner = defineJob(ordered)
  const outer = defineJob({ ...ordered, name: 'outer', unique: { key: () => 'u' } })
  const elsewhere = { orderingKey: 'another' }
  const told: unknown[] = []
  using fake = fakeErrand()
  const worker = defineWorker({
    handlers: [
      handle(inner, () => undefined),
      handle(outer, async (_, ctx) => {
        const calls = [
          () => ctx.call('key', inner),
          () => ctx.call('batch', batch([inner.with()])),
          () => ctx.call('itself', outer, undefined, elsewhere),
        ]
        for (const call of calls) await call().catch((error: { code: string }) => told.push(error.code))
        await ctx.call('elsewhere', inner, undefined, elsewhere)
      }),
    ],
  })
  const { id } = await fake.errand.dispatch(outer)
  await fake.run(worker)
  const refused = ['E_CALL_DEADLOCK', 'E_BATCH_REFUSED', 'E_CALL_DEADLOCK']
  expect(told).toEqual([...refused, ...refused])
  expect(await fake.errand.jobs.get(id)).toMatchObject({ state: 'succeeded' })
  expect(fake.dispatched(inner)).toHaveLength(1)
})

test('a cancelled caller takes what it has called with it', async () => {
  using on = story(async (ctx) => ctx.call('label', label, { n: 1 }, { delay: '1d' }))
  const id = await on.begin()
  await on.fake.errand.jobs.cancel(id, { by: 'tester' })
  await on.run()
  expect(await on.get(on.fake.dispatched(label)[0]!.id)).toMatchObject({ state: 'cancelled' })
})

test('a call of a job that is unique joins the one that lives', async () => {
  const unique = defineJob({
    name: 'unique',
    payload: z.object({ n: z.number() }),
    returns: z.number(),
    unique: { key: () => 'one' },
  })
  const fake = fakeErrand()
  using _ = fake
  const got: number[] = []
  const worker = defineWorker({
    handlers: [
      handle(unique, ({ n }) => n),
      handle(order, async (__, ctx) => void got.push(await ctx.call('it', unique, { n: 2 }))),
    ],
  })
  await fake.errand.dispatch(unique, { n: 1 }, { delay: '1h' })
  await fake.errand.dispatch(order)
  await fake.run(worker)
  await fake.advance('1h')
  await fake.run(worker)
  expect(got).toEqual([1])
})
