import * as fc from 'fast-check'
import { createErrand, defineJob, handle, isErrandError } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { makeEmptyLog, logs } from '../fleet/shared.ts'
import { tries } from '../services/tries.ts'

const inherited = [
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__proto__',
  'prototype',
  '__defineGetter__',
]
/** Any JSON, with keys and texts that mean something to somebody: to JavaScript, SQL, a terminal, a format string. */
const hostileText = fc.oneof(
  fc.constantFrom(
    ...inherited,
    '',
    '\0',
    '\ud800',
    '\udc00x',
    '\u001b[2J',
    '\u202e',
    "'; drop table jobs; --",
    '%s%n',
    '${1+1}',
    '../..',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const hostileJson = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    hostileText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, 0, -0, 1e308, 5e-324, Number.MAX_SAFE_INTEGER, -1e-7),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(hostileText, tie('value')), { maxLength: 4 })
      // Own properties, as JSON.parse makes them, of whatever name.
      .map((entries): unknown => Object.fromEntries(entries)),
  ),
})).value

const echo = defineJob({ name: 'security.echo', queue: 'echo', payload: z.unknown(), returns: z.unknown() })

async function open(name: string): Promise<Errand> {
  const errand = createErrand({ log: makeEmptyLog(name), logger: quietLogger })
  onTestFinished(() => errand.close())
  return errand
}

describe.each(logs)('hostile input on %s', (name) => {
  test('any JSON payload reaches handler and result unchanged, and changes no prototype', async () => {
    const errand = await open(name)
    const worker = errand.work({ handlers: [handle(echo, (payload) => payload)] }, { signals: false })
    onTestFinished(() => worker.stop())
    await fc.assert(
      fc.asyncProperty(fc.array(hostileJson, { minLength: 10, maxLength: 25 }), async (payloads) => {
        const receipts = await errand.dispatchMany(payloads.map((payload) => echo.with(payload)))
        const results = await Promise.all(receipts.map((receipt) => errand.result(receipt)))
        // As texts: -0 is 0 to JSON, and a key named __proto__ is one like others.
        expect(results.map((result) => JSON.stringify(result))).toEqual(
          payloads.map((payload) => JSON.stringify(payload)),
        )
      }),
      tries(3),
    )
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  test('jobs and queues by the names of inherited properties are jobs and queues like others', async () => {
    const errand = await open(name)
    const jobs = ['constructor', 'toString', 'hasOwnProperty'].map((word) =>
      defineJob({ name: word, queue: word, payload: z.number(), returns: z.number() }),
    )
    const [known, ...unknown] = jobs
    const worker = errand.work(
      { concurrency: { '*': 2 }, handlers: [handle(known!, (n) => n + 1)] },
      { signals: false, queues: jobs.map(({ queue }) => queue) },
    )
    onTestFinished(() => worker.stop())
    expect(await errand.result(await errand.dispatch(known!, 1))).toBe(2)
    for (const job of unknown) {
      const { id } = await errand.dispatch(job, 1)
      const parked = await until(async () =>
        (await errand.events.of(id)).find(({ type }) => type === 'snoozed'),
      )
      expect(parked).toMatchObject({ reason: `this worker has no handler for '${job.name}'` })
    }
    const { id } = await errand.dispatch(known!, 1, {
      meta: JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>,
      tags: inherited,
    })
    const seen = await errand.jobs.get(id)
    expect(Object.entries(seen?.meta ?? {})).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
    expect(seen?.tags).toEqual(inherited)
  })

  test('what is too deep, too large or no JSON is refused by its code before anything is stored', async () => {
    const errand = await open(name)
    let deep: unknown = 'the bottom'
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep]
    const cases: readonly (readonly [unknown, string])[] = [
      [deep, 'E_PAYLOAD_NOT_SERIALIZABLE'],
      ['x'.repeat(2_000_000), 'E_PAYLOAD_TOO_LARGE'],
      [{ n: Number.POSITIVE_INFINITY }, 'E_PAYLOAD_NOT_SERIALIZABLE'],
      [new Map(), 'E_PAYLOAD_NOT_SERIALIZABLE'],
    ]
    for (const [payload, code] of cases)
      await expect(errand.dispatch(echo, payload)).rejects.toMatchObject({ code })
    const listed: unknown[] = []
    for await (const job of errand.jobs.list()) listed.push(job)
    expect(listed).toEqual([])
  })
})

test('no name that could mean something to SQL, a path, a terminal or a broker is taken', () => {
  const plain = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/
  fc.assert(
    fc.property(
      fc.oneof(
        hostileText,
        fc.constantFrom('a\nb', 'a"b', "a'b", 'a b', '../a', 'a;b', 'а', 'ａ', 'a\u200b', 'x'.repeat(129)),
      ),
      (text) => {
        fc.pre(!(plain.test(text) && text.length <= 64))
        const thrown = (make: () => unknown): unknown => {
          try {
            return make()
          } catch (error) {
            return error
          }
        }
        expect(thrown(() => defineJob({ name: text }))).toMatchObject({ code: 'E_NAME' })
        expect(thrown(() => defineJob({ name: 'fine', queue: text }))).toMatchObject({ code: 'E_NAME' })
      },
    ),
    tries(100),
  )
})

test('an error of somebody else whose code is the name of an inherited property is none of ours', () => {
  for (const code of inherited)
    expect(isErrandError(Object.assign(new Error('x'), { code })), code).toBe(false)
  expect(isErrandError(Object.assign(new Error('x'), { code: 'E_LOG' }))).toBe(true)
})
