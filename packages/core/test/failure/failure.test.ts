import { runInNewContext } from 'node:vm'
import {
  anything,
  array,
  assert,
  boolean,
  dictionary,
  letrec,
  oneof,
  option,
  property,
  record,
  string,
} from 'fast-check'
import { expect, test } from 'vitest'
import { ErrandError, isErrandError, isPermanent, PermanentError, toError } from '../../src/errors.ts'
import { describeFailure, failureLimits } from '../../src/failure/failure.ts'
import type { Failure } from '../../src/failure/failure.ts'
import { errorFrom, storedFailure } from '../../src/failure/from-failure.ts'
import { toFailure } from '../../src/failure/to-failure.ts'
import { tries } from '../../../../integration-tests/services/tries.ts'

test('what fetch throws tells why: the cause, its code, and the plain fields of a system error', async () => {
  const thrown: unknown = await fetch('http://127.0.0.1:1/').catch((error: unknown) => error)
  const failure = toFailure(thrown)
  expect(failure).toMatchObject({ name: 'TypeError', message: 'fetch failed' })
  expect(describeFailure(failure)).toMatch(/^TypeError: fetch failed ← /)
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:9'), {
    errno: -111,
    code: 'ECONNREFUSED',
    syscall: 'connect',
    port: 9,
    socket: { huge: true },
  })
  expect(toFailure(new TypeError('fetch failed', { cause: refused }))).toMatchObject({
    name: 'TypeError',
    cause: {
      code: 'ECONNREFUSED',
      message: 'connect ECONNREFUSED 127.0.0.1:9',
      fields: { errno: -111, syscall: 'connect', port: 9 },
    },
  })
})

test('an aggregate keeps its parts, and a suppressed error what it hid', () => {
  const aggregate = new AggregateError([new Error('v4', { cause: 'no route' }), 'a text'], '')
  expect(toFailure(Object.assign(aggregate, { code: 'ETIMEDOUT' }))).toMatchObject({
    name: 'AggregateError',
    message: '',
    code: 'ETIMEDOUT',
    errors: [
      { message: 'v4', cause: { message: 'no route' } },
      { name: 'Error', message: 'a text' },
    ],
  })
  const suppressed = Object.assign(new Error('disposal hid an error'), {
    name: 'SuppressedError',
    error: new Error('while closing'),
    suppressed: new Error('the real one'),
  })
  expect(toFailure(suppressed).errors).toMatchObject([
    { message: 'while closing' },
    { message: 'the real one' },
  ])
})

test('an error of Errand keeps its code, and one of another realm its name, message, code and cause', () => {
  const own = toFailure(new ErrandError('E_PAYLOAD_TOO_LARGE', 'too much', { ids: ['a'] }))
  expect(own).toMatchObject({ name: 'ErrandError', message: 'too much', code: 'E_PAYLOAD_TOO_LARGE' })
  const foreign: unknown = runInNewContext(`
    const cause = Object.assign(new RangeError('deep'), { code: 'EDEEP' })
    Object.assign(new TypeError('of another realm', { cause }), { status: 503 })`)
  expect(foreign).not.toBeInstanceOf(Error)
  expect(toFailure(foreign)).toMatchObject({
    name: 'TypeError',
    message: 'of another realm',
    fields: { status: 503 },
    cause: { name: 'RangeError', message: 'deep', code: 'EDEEP' },
  })
  expect(toFailure(structuredClone(new RangeError('cloned')))).toMatchObject({
    name: 'RangeError',
    message: 'cloned',
  })
  expect(toError(foreign).message).toBe('of another realm')
})

test('errors of another realm are told apart by their code too, through their causes', () => {
  const wrapped: unknown = runInNewContext('(cause) => new Error("wrapped", { cause })')
  const error = (wrapped as (cause: unknown) => unknown)(new PermanentError('never'))
  expect(isPermanent(error)).toBe(true)
  const coded = runInNewContext(`Object.assign(new Error('x'), { code: 'E_CLOSED' })`) as unknown
  expect(isErrandError(coded, 'E_CLOSED')).toBe(true)
  expect(isErrandError({ message: 'no error', code: 'E_CLOSED' })).toBe(false)
})

test.each<[string, () => unknown, string]>([
  ['undefined', () => undefined, 'undefined'],
  ['null', () => null, 'null'],
  ['a bigint', () => 10n, '10n'],
  ['a symbol', () => Symbol('s'), 'Symbol(s)'],
  ['a function', () => function broken() {}, '[Function: broken]'],
  ['an object', () => ({ status: 404, at: 'x' }), "{ status: 404, at: 'x' }"],
  ['an object with a bigint', () => ({ n: 1n }), '{ n: 1n }'],
  ['a map', () => new Map([['a', 1]]), "Map(1) { 'a' => 1 }"],
  [
    'an object with a cycle',
    () => {
      const cycle: Record<string, unknown> = { a: 1 }
      cycle['self'] = cycle
      return cycle
    },
    '<ref *1> { a: 1, self: [Circular *1] }',
  ],
  ['an object with a secret', () => ({ apiKey: 'abc', user: 'u' }), "{ apiKey: '***', user: 'u' }"],
  ['an empty text', () => '', ''],
])('%s that was thrown stays readable', (_, make, message) => {
  expect(toFailure(make())).toEqual({ name: 'Error', message })
})

test('what throws when it is read does not hide the rest', () => {
  const error = Object.defineProperties(new Error('broken'), {
    cause: {
      get(): never {
        throw new Error('no')
      },
    },
    status: { value: 500, enumerable: true },
    bad: {
      enumerable: true,
      get(): never {
        throw new Error('no')
      },
    },
  })
  expect(toFailure(error)).toMatchObject({ message: 'broken', fields: { status: 500 } })
  const proxy = new Proxy(new Error('behind'), {
    get() {
      throw new Error('no')
    },
    ownKeys() {
      throw new Error('no')
    },
  })
  expect(toFailure(proxy)).toEqual({ name: 'Error', message: 'its message cannot be read' })
  const { proxy: gone, revoke } = Proxy.revocable({}, {})
  revoke()
  expect(toFailure(gone).message).toMatch(/Revoked Proxy/)
})

test('credentials are masked in every text that is kept', () => {
  const cause = Object.assign(new Error('connect to postgres://app:hunter2@db/x'), {
    url: 'https://u:hunter2@host/',
    authorization: 'Basic aHVudGVyMg==',
    sessionToken: 'hunter2',
    max_tokens: 4096,
    code: 'amqp://u:hunter2@h',
    config: { password: 'hunter2' },
  })
  const failure = toFailure(
    new AggregateError([cause], `GET / with {"headers":{"Authorization":"Bearer hunter2.abc"}}`, { cause }),
  )
  expect(JSON.stringify(failure)).not.toMatch(/hunter2|aHVudGVyMg/)
  expect(failure.cause?.fields).toMatchObject({ authorization: '***', sessionToken: '***', max_tokens: 4096 })
})

test('causes and parts are bounded in depth, number and bytes, however large the error is', () => {
  let deep: unknown = new Error('bottom')
  for (let depth = 0; depth < 1_000; depth += 1) deep = new Error('x'.repeat(100_000), { cause: deep })
  const wide = new AggregateError(
    Array.from({ length: 1_000 }, (_, index) => new AggregateError([deep, deep], `part ${index}`)),
    'all of them failed',
  )
  for (const thrown of [deep, wide]) {
    const text = JSON.stringify(toFailure(thrown))
    expect(text.length).toBeLessThan(2 * failureLimits.all)
  }
  expect(toFailure(wide).errors?.at(-1)).toMatchObject({
    name: 'Omitted',
    message: expect.stringMatching(/^\d+ more errors$/),
  })
})

test('a cause that is the error itself, or one above it, ends the chain', () => {
  const error = new Error('round')
  const inner = new Error('and round', { cause: error })
  error.cause = inner
  expect(toFailure(error)).toMatchObject({ message: 'round', cause: { message: 'and round' } })
  expect(toFailure(error).cause?.cause).toBeUndefined()
})

test('what older code has stored is still read: a name, a message and a stack', () => {
  expect(storedFailure({ name: 'TypeError', message: 'old', stack: 'TypeError: old\n at x' })).toEqual({
    name: 'TypeError',
    message: 'old',
    stack: 'TypeError: old\n at x',
  })
  expect(storedFailure({ message: 'bare' })).toEqual({ name: 'Error', message: 'bare' })
  expect(storedFailure('a text')).toEqual({ name: 'Error', message: 'a text' })
})

test('a stored text that is nested without end is read as far as errors are kept', () => {
  let nested: Record<string, unknown> = { message: 'bottom' }
  for (let depth = 0; depth < 5_000; depth += 1) nested = { message: 'x', cause: nested, errors: [nested] }
  let depth = 0
  for (let at: Failure | undefined = storedFailure(nested); at; at = at.cause) depth += 1
  expect(depth).toBe(failureLimits.depth + 1)
})

/** Anything that may be thrown: errors with causes, parts and fields, and whatever else there is. */
const whatever = letrec<{ thrown: unknown; error: unknown }>((tie) => ({
  thrown: oneof(
    { depthSize: 'small', withCrossShrink: true },
    anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSet: true }),
    tie('error'),
  ),
  error: record({
    name: string({ unit: 'binary' }),
    message: string({ unit: 'binary' }),
    code: anything(),
    cause: tie('thrown'),
    errors: option(array(tie('thrown'), { maxLength: 4 }), { nil: undefined }),
    fields: dictionary(string({ unit: 'binary' }), anything(), { maxKeys: 5 }),
    foreign: boolean(),
  }).map(({ name, message, code, cause, errors, fields, foreign }) => {
    const error = foreign
      ? (runInNewContext('(message) => new Error(message)') as (message: string) => Error)(message)
      : new Error(message)
    for (const [key, value] of Object.entries(fields)) define(error, key, value)
    for (const [key, value] of Object.entries({ name, code, cause, errors })) define(error, key, value)
    return error
  }),
}))

function define(error: object, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, enumerable: true, configurable: true, writable: true })
}

test.each([
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [Number.NaN, 'NaN'],
  [-0, 0],
])('a code and a field that JSON cannot store are kept as what can be stored: %s', (number, kept) => {
  const failure = toFailure(Object.assign(new Error('refused'), { code: number, status: number }))
  expect(failure).toMatchObject({ code: kept, fields: { status: kept } })
  expect(storedFailure(JSON.parse(JSON.stringify(failure)))).toEqual(failure)
})

test('whatever is thrown is kept, comes back from storage as it was, and again from the error made of it', () => {
  assert(
    property(whatever.thrown, (thrown) => {
      const failure = toFailure(thrown)
      const stored: unknown = JSON.parse(JSON.stringify(failure))
      expect(storedFailure(stored)).toEqual(failure)
      // Parts that are marked as omitted cannot be read again.
      if (!JSON.stringify(failure).includes('Omitted')) expect(toFailure(errorFrom(failure))).toEqual(failure)
      expect(JSON.stringify(failure).isWellFormed()).toBe(true)
    }),
    tries(500),
  )
})
