import { expect, test } from 'vitest'
import * as v from 'valibot'
import { z } from 'zod'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { defineJob } from '../../src/index.ts'
import type { AnyJob } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'

const anything = defineJob({ name: 'anything', payload: z.unknown() })

/** What the log has stored of the payload, or the refusal. */
async function stored(job: AnyJob, payload: unknown): Promise<unknown> {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job as typeof anything, payload)
  const record = await test.log().get(receipt.id)
  return JSON.parse(record?.payload.text ?? '')
}

test('the schema’s input is what is stored, not what it makes of it', async () => {
  const schema = z.object({
    width: z.number().default(320),
    at: z.string().transform((text) => new Date(text)),
  })
  const job = defineJob({ name: 'a', payload: schema })
  expect(await stored(job, { at: '2026-01-01' })).toEqual({ at: '2026-01-01' })
})

test('any Standard Schema will do, also an asynchronous one', async () => {
  const valibot = defineJob({ name: 'v', payload: v.object({ file: v.string() }) })
  expect(await stored(valibot, { file: 'a' })).toEqual({ file: 'a' })
  const slow = defineJob({ name: 's', payload: z.string().refine(async (text) => text === 'yes') })
  expect(await stored(slow, 'yes')).toBe('yes')
  expect(await catchRefusal(() => stored(slow, 'no'))).toMatchObject({ code: 'E_PAYLOAD_INVALID' })
})

test('a payload that does not fit says where, and never what was in it', async () => {
  const job = defineJob({ name: 'a', payload: z.object({ user: z.object({ age: z.number() }) }) })
  const refusal = await catchRefusal(() => stored(job, { user: { age: 'topsecret' } }))
  expect(refusal).toMatchObject({ code: 'E_PAYLOAD_INVALID', message: expect.stringContaining('user.age') })
  expect(refusal.message).not.toContain('topsecret')
})

test('a missing payload, and one that nobody asked for, are refused', async () => {
  const some = defineJob({ name: 'some', payload: z.object({}) })
  const none = defineJob({ name: 'none' })
  expect(await catchRefusal(() => stored(some, undefined))).toMatchObject({ code: 'E_PAYLOAD_INVALID' })
  expect(await catchRefusal(() => stored(none, { a: 1 }))).toMatchObject({ code: 'E_PAYLOAD_INVALID' })
  expect(await stored(none, undefined)).toBeNull()
})

test('a schema that throws is told with its error as the cause', async () => {
  const cause = new Error('schema bug')
  const broken: StandardSchemaV1<string> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: () => {
        throw cause
      },
    },
  }
  const job = defineJob({ name: 'a', payload: broken })
  expect(await catchRefusal(() => stored(job, 'x'))).toMatchObject({ code: 'E_PAYLOAD_INVALID', cause })
})

const cycle: Record<string, unknown> = { list: [] }
cycle['list'] = [{ back: cycle }]
const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)])

test.each<[string, unknown, string]>([
  ['a Date', { at: new Date() }, 'payload.at is a Date'],
  ['a Map', [new Map()], 'payload[0] is a Map'],
  ['a Set', { s: new Set() }, 'payload.s is a Set'],
  ['a typed array', { b: new Uint8Array(2) }, 'payload.b is a Uint8Array'],
  ['an ArrayBuffer', new ArrayBuffer(2), 'payload is a ArrayBuffer'],
  ['a RegExp', /a/, 'payload is a RegExp'],
  ['an Error', new Error('x'), 'payload is a Error'],
  ['a promise', Promise.resolve(), 'payload is a Promise'],
  ['a boxed number', Object(1), 'payload is a Number'],
  ['a bigint', { n: 1n }, 'payload.n is a bigint'],
  ['a function', { f: () => 1 }, 'payload.f is a function'],
  ['a symbol', { s: Symbol('s') }, 'payload.s is a symbol'],
  ['a symbol as a key', { [Symbol('s')]: 1 }, 'payload has a symbol as a key'],
  ['NaN', { n: Number.NaN }, 'payload.n is NaN'],
  ['Infinity', [1, Number.POSITIVE_INFINITY], 'payload[1] is Infinity'],
  ['undefined in a list', { l: [1, undefined] }, 'payload.l[1] is undefined'],
  // oxlint-disable-next-line no-sparse-arrays -- the hole is what is tested
  ['a hole in a list', [1, , 3], 'payload[1] is undefined'],
  ['a cycle', cycle, 'payload.list[0].back contains itself'],
  ['something with toJSON', { u: { toJSON: () => 'x' } }, 'payload.u is a value with toJSON()'],
  ['something too deep', deep(501), 'nested more than 500 deep'],
  ['a key that is no identifier', { 'a b': new Date() }, 'payload["a b"] is a Date'],
  [
    'a getter that throws',
    Object.defineProperty({}, 'x', {
      enumerable: true,
      get: () => {
        throw new Error('no')
      },
    }),
    'payload of anything cannot be read (no)',
  ],
])('%s does not survive JSON, so it is refused and its place named', async (_, payload, message) => {
  const refusal = await catchRefusal(() => stored(anything, payload))
  expect(refusal.code).toBe('E_PAYLOAD_NOT_SERIALIZABLE')
  expect(refusal.message.replace(' of anything', '')).toContain(message.replace(' of anything', ''))
})

test.each<[string, unknown]>([
  ['null', null],
  ['text with a NUL, a lone surrogate and an emoji', 'a\0b\uD800c😀'],
  ['an own key named __proto__', JSON.parse('{"__proto__":{"admin":true},"a":1}')],
  ['the same object twice', [{ a: 1 }].flatMap((each) => [each, each])],
  ['500 levels', deep(500)],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 })],
])('%s comes back as it went', async (_, payload) => {
  expect(JSON.stringify(await stored(anything, payload))).toBe(JSON.stringify(payload))
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
})

test('a property that is undefined is as good as absent', async () => {
  expect(await stored(anything, { a: 1, b: undefined })).toEqual({ a: 1 })
})

test('the payload is taken at the moment of the dispatch', async () => {
  await using test = testInstance()
  const payload = { n: 1 }
  const receipt = test.errand.dispatch(anything, payload)
  payload.n = 2
  const record = await test.errand.jobs.get((await receipt).id)
  expect(record?.payload).toEqual({ n: 1 })
})

test('a payload over the limit is refused in bytes, not characters; the limit is a setting', async () => {
  await using test = testInstance({ config: { payloadLimit: 12 } })
  await test.errand.dispatch(anything, '1234567890')
  const refusal = await catchRefusal(() => test.errand.dispatch(anything, 'äöüäöü'))
  expect(refusal).toMatchObject({ code: 'E_PAYLOAD_TOO_LARGE', message: expect.stringContaining('14 bytes') })
})

test('by default a payload may have one mebibyte', async () => {
  const text = 'x'.repeat(1_048_576 - 2)
  expect(await stored(anything, text)).toHaveLength(text.length)
  expect(await catchRefusal(() => stored(anything, `${text}x`))).toMatchObject({
    code: 'E_PAYLOAD_TOO_LARGE',
  })
})
