import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { batch, createErrand, defineJob, defineMessage, handle } from '../../src/index.ts'
import type { MessageDefinition, NeedEnd, Outcome } from '../../src/index.ts'

const order = defineJob({ name: 'order' })
const label = defineJob({
  name: 'label',
  payload: z.object({ n: z.number() }),
  returns: z.object({ url: z.string() }),
})
const ping = defineJob({ name: 'ping' })
const approved = defineMessage({
  name: 'approved',
  payload: z.object({ by: z.string(), at: z.string().transform((text) => new Date(text)) }),
})
const go = defineMessage({ name: 'go' })

test('a message carries what is sent and what is received', () => {
  expectTypeOf(approved).toEqualTypeOf<
    MessageDefinition<{ by: string; at: string }, { by: string; at: Date }>
  >()
  expectTypeOf(go).toEqualTypeOf<MessageDefinition<void, true>>()
  // @ts-expect-error -- a Date
  defineMessage({ name: 'a', payload: z.object({ at: z.date() }) })
})

test('steps give what they return, as their schema parses it', () => {
  handle(order, async (_, ctx) => {
    expectTypeOf(await ctx.step('a', () => 1)).toEqualTypeOf<number>()
    expectTypeOf(await ctx.step('b', async () => ({ n: 1 }))).toEqualTypeOf<{ n: number }>()
    expectTypeOf(await ctx.step('c', () => undefined)).toEqualTypeOf<undefined>()
    const returns = z.object({
      at: z.string().transform((text) => new Date(text)),
      more: z.string().optional(),
    })
    const parsed = await ctx.step('d', () => ({ at: '2026-01-01' }), { returns })
    expectTypeOf(parsed).toEqualTypeOf<{ at: Date; more?: string | undefined }>()
    // @ts-expect-error -- the schema takes another input
    await ctx.step('e', () => ({ at: 7 }), { returns })
    // @ts-expect-error -- options last
    await ctx.step('f', { returns }, () => 1)
    // @ts-expect-error -- a pool is no transaction
    await ctx.step('g', () => 1, { tx: { query: async () => ({ rows: [] }), totalCount: 1 } })
    await ctx.step('h', (step) => {
      expectTypeOf(step.idempotencyKey).toEqualTypeOf<string>()
    })
  })
})

test('a wait with a timeout may give nothing, one without gives the payload', () => {
  handle(order, async (_, ctx) => {
    const sure = await ctx.receive('a', approved)
    expectTypeOf(sure).toEqualTypeOf<{ by: string; at: Date }>()
    const maybe = await ctx.receive('b', approved, { timeout: '1d' })
    // @ts-expect-error -- it may be undefined
    expectTypeOf(maybe.by).toEqualTypeOf<string>()
    expectTypeOf(await ctx.receive('c', go, { timeout: '1d' })).toEqualTypeOf<true | undefined>()
    // @ts-expect-error -- no message
    await ctx.receive('d', label)
    await ctx.sleep('e', '14d')
    await ctx.sleep('f', { until: new Date() })
    // @ts-expect-error -- no duration
    await ctx.sleep('g', 'soon')
    expectTypeOf(ctx.suspended).toEqualTypeOf<Outcome>()
  })
})

test('a call gives the result of the job, or those of the members of the flow', () => {
  handle(order, async (_, ctx) => {
    expectTypeOf(await ctx.call('a', label, { n: 1 }, { lane: 'high' })).toEqualTypeOf<{ url: string }>()
    expectTypeOf(await ctx.call('b', ping)).toEqualTypeOf<undefined>()
    // @ts-expect-error -- wrong payload
    await ctx.call('c', label, { m: 1 })
    // @ts-expect-error -- the payload is missing
    await ctx.call('d', label)
    // @ts-expect-error -- its id follows from the call
    await ctx.call('e', label, { n: 1 }, { id: '' })
    // @ts-expect-error -- a call is not inside a transaction
    await ctx.call('f', label, { n: 1 }, { tx: { query: async () => ({ rows: [] }) } })
    const labels = batch([label.with({ n: 1 })])
    expectTypeOf(await ctx.call('g', labels)).toEqualTypeOf<readonly { url: string }[]>()
    expectTypeOf(await ctx.call('h', labels, { settled: true })).toEqualTypeOf<
      readonly NeedEnd<{ url: string }>[]
    >()
  })
  // @ts-expect-error -- a number
  handle(order, () => undefined, { memoryVersion: '3' })
  handle(order, () => undefined, { memoryVersion: 3 })
})

test('a message is sent with its payload, and options last', async () => {
  const { jobs } = createErrand()
  await jobs.send('id', approved, { by: 'ada', at: '2026-01-01' }, { id: 'x' })
  await jobs.send('id', go)
  await jobs.send('id', go, undefined, { by: 'ada' })
  // @ts-expect-error -- the payload is missing
  await jobs.send('id', approved)
  // @ts-expect-error -- wrong payload
  await jobs.send('id', approved, { by: 7, at: '' })
  // @ts-expect-error -- it takes none
  await jobs.send('id', go, { by: 'ada' })
})
