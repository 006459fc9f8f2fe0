import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, fixed, handle } from '../../src/index.ts'
import { stage } from './stage.ts'

const anything = defineJob({
  name: 'anything',
  returns: z.any(),
  retry: { attempts: 3, backoff: fixed(0) },
})
/** Takes a Map, an Error or a Response for an object that has no members. */
const lenient = defineJob({
  name: 'lenient',
  returns: z.object({ inner: z.object({ n: z.number().optional() }) }),
  retry: { attempts: 3, backoff: fixed(0) },
})

class Money {
  readonly #cents = 5
  get cents(): number {
    return this.#cents
  }
}

const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic

/** A result, and what is said of it. */
const lost: readonly (readonly [string, unknown, string])[] = [
  ['a Map', { by: new Map([['a', 1]]) }, 'result.by of anything is a Map'],
  ['a Set', [new Set([1])], 'result[0] of anything is a Set'],
  ['NaN', { n: Number.NaN }, 'result.n of anything is NaN'],
  ['a Response', new Response('x'), 'result of anything is a Response'],
  ['an Error', { error: new Error('x') }, 'result.error of anything is a Error'],
  ['an invalid Date', { at: new Date(Number.NaN) }, 'result.at of anything is a Date'],
  ['a function', { f: () => 1 }, 'result.f of anything is a function'],
  [
    'an instance of a class',
    { price: new Money() },
    'result.price of anything is a value of the class Money',
  ],
  ['undefined in a list', { list: [1, undefined] }, 'result.list[1] of anything is undefined'],
  ['a bigint', { n: 1n }, 'result.n of anything is a bigint'],
  ['a cycle', cyclic, 'result.self of anything contains itself'],
  ['a result over the limit', { text: 'x'.repeat(70_000) }, 'is 70011 bytes; the limit is 65536'],
]

describe('a result that JSON cannot carry', () => {
  test.for(lost)('%s fails the job at once, and says where it is', async ([, result, says]) => {
    await using on = stage()
    let runs = 0
    const handler = handle(anything, () => {
      runs += 1
      return result
    })
    await on.work({ handlers: [handler] })
    const { id } = await on.errand.dispatch(anything)
    await on.until(id, 'failed')
    expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
    expect((await on.log.get(id))?.error?.text).toContain(says)
    expect(runs).toBe(1)
  })

  test.for([
    ['a Map', new Map([['n', 1]])],
    ['an Error', new Error('x')],
    ['a Response', new Response('x')],
  ] as const)(
    '%s is not kept as an object without members, though its schema lets it pass',
    async ([, inner]) => {
      await using on = stage()
      await on.work({ handlers: [handle(lenient, () => ({ inner: inner as object }))] })
      const { id } = await on.errand.dispatch(lenient)
      await on.until(id, 'failed')
      expect((await on.log.get(id))?.error?.text).toContain('result.inner of lenient is a')
    },
  )
})

test('what its schema leaves out of a result may be anything', async () => {
  await using on = stage()
  const row = { inner: { n: 1 }, createdAt: new Date(), tags: new Set(['a']) }
  await on.work({ handlers: [handle(lenient, () => row)] })
  expect(await on.errand.result(await on.errand.dispatch(lenient))).toEqual({ inner: { n: 1 } })
})

test('what a handler returns where its job says no returns is not kept, and so may be anything', async () => {
  await using on = stage()
  const plain = defineJob({ name: 'plain' })
  await on.work({ handlers: [handle(plain, () => new Map([['a', 1n]]))] })
  const { id } = await on.errand.dispatch(plain)
  await on.until(id, 'succeeded')
  expect((await on.log.get(id))?.result).toBeUndefined()
})
