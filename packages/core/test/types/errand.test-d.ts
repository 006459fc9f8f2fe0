import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import type { Errand, JobDetails, Receipt, Transaction } from '../../src/index.ts'
import type { FakeContext } from '../../src/testing.ts'
import { fakeContext, fakeErrand } from '../../src/testing.ts'

declare const errand: Errand
declare function query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>

const thumbnail = defineJob({
  name: 'media.make-thumbnail',
  payload: z.object({ file: z.string(), width: z.number().default(320) }),
  returns: z.object({ path: z.string() }),
})
const ping = defineJob({ name: 'ping' })

test('a receipt knows the result of its job', async () => {
  const receipt = await errand.dispatch(thumbnail, { file: 'a' })
  expectTypeOf(receipt).toEqualTypeOf<Receipt<{ path: string }>>()
  expectTypeOf(await errand.result(receipt, { timeout: '1m' })).toEqualTypeOf<{ path: string }>()
  expectTypeOf(await errand.result(await errand.dispatch(ping))).toEqualTypeOf<undefined>()
})

test('uses of dispatch', async () => {
  await errand.dispatch(thumbnail, { file: 'a', width: 1 }, { lane: 'high', delay: '10m' })
  await errand.dispatch(thumbnail, { file: 'a' }, { at: new Date(), tags: ['x'], meta: { tenant: 'acme' } })
  await errand.dispatch(ping)
  await errand.dispatch(ping, undefined, { delay: 500 })
  const { dispatch } = errand
  await dispatch(ping)
})

test('misuses of dispatch do not compile', async () => {
  // @ts-expect-error -- the payload is missing
  await errand.dispatch(thumbnail)
  // @ts-expect-error -- a property of the payload is missing
  await errand.dispatch(thumbnail, { width: 1 })
  // @ts-expect-error -- of the wrong type
  await errand.dispatch(thumbnail, { file: 7 })
  // @ts-expect-error -- one too many
  await errand.dispatch(thumbnail, { file: 'a', height: 7 })
  // @ts-expect-error -- this job takes none
  await errand.dispatch(ping, { file: 'a' })
  // @ts-expect-error -- both delay and at
  await errand.dispatch(ping, undefined, { delay: '1s', at: new Date() })
  // @ts-expect-error -- not a duration
  await errand.dispatch(ping, undefined, { delay: '10 minutes' })
  // @ts-expect-error -- no such option
  await errand.dispatch(ping, undefined, { dealy: '1s' })
  // @ts-expect-error -- a Date, not a text
  await errand.dispatch(ping, undefined, { at: '2026-01-01' })
  // @ts-expect-error -- a job, not its name
  await errand.dispatch('ping')
})

test('many: each receipt of its own type, in the order of the requests', async () => {
  const [one, two] = await errand.dispatchMany([
    thumbnail.with({ file: 'a' }),
    ping.with(undefined, { lane: 'low' }),
  ])
  expectTypeOf(one).toEqualTypeOf<Receipt<{ path: string }>>()
  expectTypeOf(two).toEqualTypeOf<Receipt<undefined>>()
  const list = await errand.dispatchMany(['a', 'b'].map((file) => thumbnail.with({ file })))
  expectTypeOf(list[0]).toEqualTypeOf<Receipt<{ path: string }> | undefined>()
  // @ts-expect-error -- the wrong payload
  thumbnail.with({ path: 'a' })
  // @ts-expect-error -- a transaction belongs to the whole call
  ping.with(undefined, { tx: { query } })
  // @ts-expect-error -- a definition is no request
  await errand.dispatchMany([ping])
})

test('transactions of the libraries, by their shapes', () => {
  expectTypeOf<{ query: typeof query; release(): void }>().toExtend<Transaction>()
  expectTypeOf<{
    isTransaction: true
    executeQuery(q: object): Promise<{ rows: object[] }>
  }>().toExtend<Transaction>()
  expectTypeOf<{ rollback(): never; _: { session: object }; transaction(): void }>().toExtend<Transaction>()
  expectTypeOf<{
    $queryRawUnsafe(sql: string, ...values: unknown[]): Promise<unknown>
  }>().toExtend<Transaction>()
  expectTypeOf<{ prepare(sql: string): { all(...values: unknown[]): unknown[] } }>().toExtend<Transaction>()
})

test('pools and clients are no transactions', async () => {
  const pool = { query, totalCount: 3 }
  // @ts-expect-error -- a pg Pool
  await errand.dispatch(ping, undefined, { tx: pool })
  const kysely = { isTransaction: false as boolean, executeQuery: async () => ({ rows: [] }) }
  // @ts-expect-error -- Kysely itself
  await errand.dispatch(ping, undefined, { tx: kysely })
  const drizzle = { _: { session: {} }, transaction: async () => undefined }
  // @ts-expect-error -- a Drizzle database
  await errand.dispatch(ping, undefined, { tx: drizzle })
  const prisma = { $queryRawUnsafe: async () => [], $connect: async () => undefined }
  // @ts-expect-error -- a Prisma client
  await errand.dispatch(ping, undefined, { tx: prisma })
  const knex = { raw: async () => [] }
  // @ts-expect-error -- Knex itself
  await errand.dispatch(ping, undefined, { tx: knex })
  const sql = { unsafe: async () => [] }
  // @ts-expect-error -- postgres.js outside a transaction
  await errand.dispatchMany([], { tx: sql })
})

test('operators', async () => {
  expectTypeOf(await errand.jobs.get('id')).toEqualTypeOf<JobDetails | undefined>()
  await errand.jobs.cancel({ job: thumbnail, state: 'ready' }, { by: 'mia' })
  await errand.jobs.cancel({ job: 'media.make-thumbnail', before: new Date() }, { by: 'mia', reason: 'x' })
  await errand.jobs.replay('id', { by: 'mia', dryRun: true })
  // @ts-expect-error -- who does it must be said
  await errand.jobs.cancel('id')
  // @ts-expect-error -- no such state
  await errand.jobs.cancel({ state: 'done' }, { by: 'mia' })
  for await (const event of errand.events.follow({ job: 'id' })) {
    expectTypeOf(event.cursor).toEqualTypeOf<string>()
    if (event.type === 'started') expectTypeOf(event.worker).toEqualTypeOf<string>()
    if (event.type === 'failed') expectTypeOf(event.error.message).toEqualTypeOf<string>()
    // @ts-expect-error -- only of some types
    void event.retryAt
  }
})

test('scopes', async () => {
  await using instance = errand
  await using worker = instance.work({ handlers: [] }, { queues: ['media'], signals: false })
  expectTypeOf(worker.ready).toEqualTypeOf<Promise<void>>()
  // @ts-expect-error -- no such option
  instance.work({ handlers: [] }, { queue: 'media' })
})

test('fakes', () => {
  using fake = fakeErrand(errand)
  expectTypeOf(fake.dispatched(thumbnail)[0]?.payload).toEqualTypeOf<
    { file: string; width?: number | undefined } | undefined
  >()
  expectTypeOf(fakeContext(thumbnail, { attempt: 2 })).toEqualTypeOf<FakeContext<{ path: string }>>()
  // @ts-expect-error -- not a duration
  void fake.advance('10 minutes')
})
