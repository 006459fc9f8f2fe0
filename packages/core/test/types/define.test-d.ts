import { expectTypeOf, test } from 'vitest'
import * as v from 'valibot'
import { z } from 'zod'
import {
  defineConfig,
  defineJob,
  defineSchedule,
  defineWorker,
  exponential,
  fixed,
  handle,
  linear,
  list,
} from '../../src/index.ts'
import type { Context, JobDefinition, Outcome } from '../../src/index.ts'

const thumbnail = defineJob({
  name: 'media.make-thumbnail',
  queue: 'media',
  timeout: '30s',
  payload: z.object({ file: z.string(), width: z.number().default(320) }),
  returns: z.object({ path: z.string() }),
})
const ping = defineJob({ name: 'ping' })

test('a definition carries input, output and result', () => {
  expectTypeOf(thumbnail).toEqualTypeOf<
    JobDefinition<
      { file: string; width?: number | undefined },
      { file: string; width: number },
      { path: string }
    >
  >()
  expectTypeOf(ping).toEqualTypeOf<JobDefinition<void, void, undefined>>()
  const valibot = defineJob({ name: 'v', payload: v.object({ n: v.optional(v.number(), 1) }) })
  expectTypeOf(valibot).toEqualTypeOf<JobDefinition<{ n?: number | undefined }, { n: number }, undefined>>()
})

test('policy functions get the payload as it is dispatched', () => {
  defineJob({
    name: 'a',
    payload: z.object({ file: z.string(), width: z.number().default(1) }),
    order: {
      key: (p) => {
        expectTypeOf(p).toEqualTypeOf<{ file: string; width?: number | undefined }>()
        return p.file
      },
    },
    unique: { key: (p) => p.file },
    tags: (p) => [p.file],
    retry: { when: (error) => error.name === 'A' },
  })
})

test('what JSON cannot carry does not compile as a payload', () => {
  // @ts-expect-error -- a Date
  defineJob({ name: 'a', payload: z.object({ at: z.date() }) })
  // @ts-expect-error -- a Map
  defineJob({ name: 'a', payload: z.map(z.string(), z.number()) })
  // @ts-expect-error -- a Set, deep inside
  defineJob({ name: 'a', payload: z.object({ list: z.array(z.object({ set: z.set(z.string()) })) }) })
  // @ts-expect-error -- a bigint
  defineJob({ name: 'a', payload: z.object({ n: z.bigint() }) })
  // @ts-expect-error -- a symbol
  defineJob({ name: 'a', payload: z.object({ s: z.symbol() }) })
  // @ts-expect-error -- a typed array
  defineJob({ name: 'a', payload: z.instanceof(Uint8Array) })
  // @ts-expect-error -- a Date, from another library
  defineJob({ name: 'a', payload: v.object({ at: v.date() }) })
})

test('what JSON can carry compiles, also where the output is richer', () => {
  defineJob({ name: 'a', payload: z.object({ at: z.iso.datetime().transform((text) => new Date(text)) }) })
  defineJob({ name: 'a', payload: z.unknown() })
  defineJob({ name: 'a', payload: z.any() })
  defineJob({ name: 'a', payload: z.union([z.string(), z.null(), z.array(z.number()).readonly()]) })
  defineJob({ name: 'a', payload: z.record(z.string(), z.object({ on: z.boolean() })) })
  interface Tree {
    readonly children: readonly Tree[]
  }
  const tree: z.ZodType<Tree, Tree> = z.lazy(() => z.object({ children: z.array(tree) }))
  defineJob({ name: 'a', payload: tree })
})

test('a result that JSON cannot carry does not compile', () => {
  // @ts-expect-error -- a Date
  defineJob({ name: 'a', returns: z.object({ at: z.date() }) })
})

test('wrong policies do not compile', () => {
  // @ts-expect-error -- not a duration
  defineJob({ name: 'a', timeout: '10 minutes' })
  // @ts-expect-error -- not a duration either
  defineJob({ name: 'a', unique: { key: () => 'k', for: '5 min' } })
  // @ts-expect-error -- no such option
  defineJob({ name: 'a', retires: { attempts: 3 } })
  // @ts-expect-error -- no such option of retry
  defineJob({ name: 'a', retry: { atempts: 3 } })
  // @ts-expect-error -- no such lane
  defineJob({ name: 'a', lane: 'urgent' })
  // @ts-expect-error -- a name is needed
  defineJob({ queue: 'a' })
  // @ts-expect-error -- no such property of the payload
  defineJob({ name: 'a', payload: z.object({ file: z.string() }), unique: { key: (p) => p.path } })
  // @ts-expect-error -- a key is a text
  defineJob({ name: 'a', payload: z.object({ id: z.number() }), order: { key: (p) => p.id } })
  // @ts-expect-error -- a schema, not a shape
  defineJob({ name: 'a', payload: { file: 'string' } })
  defineJob({ name: 'a', timeout: 'none' })
})

test('backoffs', () => {
  for (const backoff of [
    exponential('1s', { max: '10m', jitter: 'none' }),
    fixed('5s'),
    linear(100),
    list(['1s', '1m']),
  ]) {
    defineJob({ name: 'a', retry: { backoff } })
  }
  defineJob({ name: 'a', retry: { backoff: (attempt) => attempt * 1_000 } })
  // @ts-expect-error -- not a duration
  exponential('1 second')
})

test('a handler gets the output and gives the result, or an outcome', () => {
  handle(thumbnail, async ({ file, width }, ctx) => {
    expectTypeOf(file).toEqualTypeOf<string>()
    expectTypeOf(width).toEqualTypeOf<number>()
    expectTypeOf(ctx).toEqualTypeOf<Context<{ path: string }>>()
    return { path: file }
  })
  handle(thumbnail, (_, ctx) => ctx.snooze('1m'))
  handle(thumbnail, async (_, ctx) => (ctx.attempt > 3 ? ctx.fail('enough') : { path: '' }))
  handle(ping, () => undefined)
  handle(ping, () => 'anything')
  handle(ping, (payload) => {
    expectTypeOf(payload).toEqualTypeOf<void>()
  })
  handle(thumbnail, () => ({ path: '' }), {
    failed: (payload, error, job) => {
      expectTypeOf(payload).toEqualTypeOf<{ file: string; width: number }>()
      expectTypeOf(error.message).toEqualTypeOf<string>()
      expectTypeOf(job.id).toEqualTypeOf<string>()
    },
    middleware: [async (_ctx, next) => next()],
  })
})

test('wrong handlers do not compile', () => {
  // @ts-expect-error -- the result is missing
  handle(thumbnail, () => undefined)
  // @ts-expect-error -- another result
  handle(thumbnail, async () => ({ path: 7 }))
  // @ts-expect-error -- no such property of the payload
  handle(thumbnail, ({ path }) => ({ path }))
  // @ts-expect-error -- another payload
  handle(thumbnail, (payload: { url: string }) => ({ path: payload.url }))
  // @ts-expect-error -- not a duration
  handle(ping, (_, ctx) => ctx.snooze('10 minutes'))
  // @ts-expect-error -- no such option
  handle(ping, () => 1, { onFailed: () => undefined })
  // @ts-expect-error -- not a job
  handle({ name: 'ping' }, () => 1)
})

test('an outcome cannot be made by hand', () => {
  // @ts-expect-error -- only ctx makes them
  const outcome: Outcome = { kind: 'retry' }
  return outcome
})

test('completing in a transaction needs the result where there is one', () => {
  const tx = { query: async (_text: string) => ({ rows: [] }) }
  handle(thumbnail, async (_, ctx) => {
    await ctx.complete({ tx, result: { path: '' } })
    // @ts-expect-error -- the result is missing
    await ctx.complete({ tx })
    // @ts-expect-error -- another result
    await ctx.complete({ tx, result: { path: 7 } })
    return { path: '' }
  })
  handle(ping, async (_, ctx) => ctx.complete({ tx }))
})

test('workers', () => {
  const handlers = [handle(ping, () => 1)]
  const worker = defineWorker({ handlers, concurrency: { media: 2, '*': 10 }, lease: '30s' })
  expectTypeOf(worker.handlers).toEqualTypeOf<typeof handlers>()
  defineWorker(async () => ({ handlers, stop: async () => undefined }))
  defineWorker({
    handlers,
    before: ({ job, attempt }) => {
      expectTypeOf(job.name).toEqualTypeOf<string>()
      expectTypeOf(attempt).toEqualTypeOf<number>()
    },
    after: (ended) => {
      if (ended.outcome === 'errored') expectTypeOf(ended.retryAt).toEqualTypeOf<Date>()
      if (ended.outcome === 'succeeded') expectTypeOf(ended.result).toEqualTypeOf<unknown>()
      // @ts-expect-error -- only of some outcomes
      return void ended.retryAt
    },
    failing: ({ cause }) =>
      void expectTypeOf(cause).toEqualTypeOf<'error' | 'timeout' | 'lost' | 'payload' | 'unknown-job'>(),
    looping: () => false,
  })
  // @ts-expect-error -- not a duration
  defineWorker({ handlers, lease: '30 seconds' })
  // @ts-expect-error -- no such option
  defineWorker({ handlers, concurency: 3 })
  // @ts-expect-error -- handlers are needed
  defineWorker({ concurrency: 3 })
  // @ts-expect-error -- a definition is no handler
  defineWorker({ handlers: [ping] })
})

test('configurations', () => {
  defineConfig()
  defineConfig({
    log: 'postgres://localhost/app',
    driver: 'amqp://localhost',
    worker: './worker.ts',
    publishWait: '2s',
  })
  // @ts-expect-error -- no such option
  defineConfig({ logs: 'sqlite:./a.db' })
  // @ts-expect-error -- an object of another kind
  defineConfig({ log: { errand: 'driver', name: 'x', open: () => undefined } })
})

test('a schedule has the payload that its job takes, as a value or a function of the tick', () => {
  defineSchedule({ name: 'a', job: thumbnail, every: '1h', payload: { file: 'a' } })
  defineSchedule({
    name: 'b',
    job: thumbnail,
    cron: '30 2 * * *',
    payload: ({ at }) => ({ file: at.toISOString() }),
  })
  defineSchedule({ name: 'c', job: ping, at: new Date('2027-01-01') })
  // @ts-expect-error -- the payload is missing
  void (() => defineSchedule({ name: 'd', job: thumbnail, every: '1h' }))
  // @ts-expect-error -- width is a number
  void (() => defineSchedule({ name: 'e', job: thumbnail, every: '1h', payload: { file: 'a', width: '3' } }))
  // @ts-expect-error -- the function returns no payload of the job
  void (() => defineSchedule({ name: 'f', job: thumbnail, every: '1h', payload: () => ({ fiel: 'a' }) }))
  // @ts-expect-error -- ping takes none
  void (() => defineSchedule({ name: 'g', job: ping, every: '1h', payload: { file: 'a' } }))
  // @ts-expect-error -- the times are missing
  void (() => defineSchedule({ name: 'h', job: ping }))
  // @ts-expect-error -- no such policy
  void (() => defineSchedule({ name: 'i', job: ping, every: '1h', missed: 'all' }))
  // @ts-expect-error -- a schedule says when
  void (() => defineSchedule({ name: 'j', job: ping, every: '1h', options: { delay: '1h' } }))
})
