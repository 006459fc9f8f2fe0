import { randomBytes, randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { encryptingCodec } from '../../src/codec/encrypting-codec.ts'
import { jsonCodec } from '../../src/codec/json-codec.ts'
import { Children } from '../../src/dispatch/children.ts'
import type { RequestOfJob } from '../../src/define/job.ts'
import { prepare } from '../../src/dispatch/prepare.ts'
import type { ChildOptions, Receipt } from '../../src/dispatch/request.ts'
import { settingsDefaults } from '../../src/config/defaults.ts'
import { defineJob, fixed, handle } from '../../src/index.ts'
import type { Context } from '../../src/index.ts'
import type { Claim } from '../../src/job/claim.ts'
import type { Codec } from '../../src/ports/codec.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { collect } from '../collect.ts'
import { eventually, stage } from './stage.ts'
import type { Stage } from './stage.ts'

const child = defineJob({ name: 'child', payload: z.object({ n: z.number(), m: z.number().optional() }) })
const other = defineJob({ name: 'other', payload: z.object({ n: z.number() }) })
const parent = defineJob({ name: 'parent', retry: { attempts: 3, backoff: fixed(0) } })

type Statuses = (readonly string[])[]

/** Runs a parent `runs` times; all but the last attempt fail. Returns the answers of its dispatches. */
async function attempts(
  on: Stage,
  runs: number,
  dispatches: (ctx: Context) => readonly Promise<Receipt<unknown>>[],
): Promise<{ readonly id: string; readonly answers: Statuses; readonly ids: Statuses }> {
  const answers: Statuses = []
  const ids: Statuses = []
  await on.work({
    handlers: [
      handle(child, () => undefined),
      handle(other, () => undefined),
      handle(parent, async (_, ctx) => {
        const receipts = await Promise.all(dispatches(ctx))
        answers.push(receipts.map(({ status }) => status))
        ids.push(receipts.map((receipt) => receipt.id))
        if (ctx.attempt < runs) throw new Error('after its children')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(parent)
  await on.until(id, 'succeeded')
  return { id, answers, ids }
}

test('a run that dispatches what an earlier run of its job has dispatched makes no second child', async () => {
  await using on = stage()
  const { answers, ids } = await attempts(on, 3, (ctx) => [
    ctx.dispatch(child, { n: 1 }),
    ctx.dispatch(child, { n: 2 }),
    ctx.dispatch(other, { n: 1 }),
  ])
  expect(answers).toEqual([
    ['added', 'added', 'added'],
    ['duplicate', 'duplicate', 'duplicate'],
    ['duplicate', 'duplicate', 'duplicate'],
  ])
  expect(new Set(ids.flat()).size).toBe(3)
  expect(await collect(on.errand.jobs.list({ job: child }))).toHaveLength(2)
})

test('what one run dispatches twice are two children, in whatever order they are dispatched later', async () => {
  await using on = stage()
  const { answers, ids } = await attempts(on, 2, (ctx) =>
    ctx.attempt === 1
      ? [ctx.dispatch(child, { n: 1 }), ctx.dispatch(child, { n: 2 }), ctx.dispatch(child, { n: 1 })]
      : [ctx.dispatch(child, { n: 1 }), ctx.dispatch(child, { n: 1 }), ctx.dispatch(child, { n: 2 })],
  )
  expect(answers).toEqual([
    ['added', 'added', 'added'],
    ['duplicate', 'duplicate', 'duplicate'],
  ])
  expect(ids[1]?.toSorted()).toEqual(ids[0]?.toSorted())
})

test('another member order, lane, time, tag or meta makes no other child; another key or payload does', async () => {
  await using on = stage()
  const { answers } = await attempts(on, 2, (ctx) =>
    ctx.attempt === 1
      ? [
          ctx.dispatch(child, { n: 1, m: 2 }),
          ctx.dispatch(child, { n: 2 }),
          ctx.dispatch(child, { n: 3 }, { orderingKey: 'a' }),
          ctx.dispatch(child, { n: 4 }, { uniqueKey: 'a' }),
        ]
      : [
          ctx.dispatch(child, { m: 2, n: 1 }),
          ctx.dispatch(
            child,
            { n: 2 },
            { lane: 'high', queue: 'away', delay: '1h', tags: ['t'], meta: { a: 'b' } },
          ),
          ctx.dispatch(child, { n: 3 }, { orderingKey: 'b' }),
          ctx.dispatch(child, { n: 4 }, { uniqueKey: 'b' }),
        ],
  )
  expect(answers[1]).toEqual(['duplicate', 'duplicate', 'added', 'added'])
})

test('once names a child whose payload differs from run to run; each makes one in each run', async () => {
  await using on = stage()
  const { answers } = await attempts(on, 2, (ctx) => [
    ctx.dispatch(child, { n: ctx.run }, { once: 'report' }),
    ctx.dispatch(child, { n: ctx.run }, { once: 'bill' }),
    ctx.dispatch(other, { n: ctx.run }, { once: 'report' }),
    ctx.dispatch(child, { n: 0 }, { each: 'run' }),
  ])
  expect(answers).toEqual([
    ['added', 'added', 'added', 'added'],
    ['duplicate', 'duplicate', 'duplicate', 'added'],
  ])
})

test('a replay of a job that succeeded makes new children, one of a job that failed does not', async () => {
  await using on = stage()
  const answers: string[] = []
  await on.work({
    handlers: [
      handle(child, () => undefined),
      handle(parent, async (_, ctx) => {
        answers.push((await ctx.dispatch(child, { n: 1 })).status)
        if (answers.length === 1) return ctx.fail('for good')
        return undefined
      }),
    ],
  })
  const { id } = await on.errand.dispatch(parent)
  await on.until(id, 'failed')
  await on.errand.jobs.replay(id, { by: 'tester' })
  await on.until(id, 'succeeded')
  await on.errand.jobs.replay(id, { by: 'tester' })
  await eventually(() => expect(answers).toHaveLength(3))
  expect(answers).toEqual(['added', 'duplicate', 'added'])
})

test('a dispatch of the instance’s own makes a job each time, in a handler too', async () => {
  await using on = stage()
  const { answers } = await attempts(on, 2, () => [on.errand.dispatch(child, { n: 1 })])
  expect(answers).toEqual([['added'], ['added']])
})

test('once, each and id exclude each other; outside of a handler there is no once', async () => {
  await using on = stage()
  const codes: unknown[] = []
  await on.work({
    handlers: [
      handle(parent, async (_, ctx) => {
        const wrong = [
          { once: 'a', id: randomUUID() },
          { once: 'a', each: 'run' },
          { each: 'job' },
          { once: '' },
          { onec: 'a' },
        ]
        for (const options of wrong)
          codes.push(
            (await catchRefusal(() => ctx.dispatch(child, { n: 1 }, options as unknown as ChildOptions)))
              .code,
          )
      }),
    ],
  })
  const { id } = await on.errand.dispatch(parent)
  await on.until(id, 'succeeded')
  expect(codes).toEqual(['E_OPTION', 'E_OPTION', 'E_OPTION', 'E_KEY', 'E_OPTION'])
  expect((await catchRefusal(() => on.errand.dispatch(child, { n: 1 }, { once: 'a' } as object))).code).toBe(
    'E_OPTION',
  )
})

/** A run of a job whose dispatches are answered by `stored`, as a log does. */
function startRun(
  claim: Partial<Claim>,
  stored: Set<string>,
  codec: Codec = jsonCodec,
  refuse: () => Error | undefined = () => undefined,
): (n: number, options?: object) => Promise<Receipt<unknown>> {
  const children = new Children({
    claim: { id: randomUUID(), job: { meta: {}, payload: { codec: 'json', text: '1' } }, ...claim } as Claim,
    idempotencyKey: claim.id ?? 'the parent',
    codec,
    dispatcher: {
      async dispatch(request, of) {
        const { id } = await prepare(request, of, { settings: settingsDefaults, codec, newId: randomUUID })
        const error = refuse()
        if (error !== undefined) throw error
        const status = stored.has(id) ? 'duplicate' : 'added'
        stored.add(id)
        return { id, status }
      },
      dispatchFlow: () => Promise.reject(new Error('no flow is dispatched here')),
      addToFlow: () => Promise.reject(new Error('nothing is added here')),
    },
  })
  return (n, options) => children.dispatch({ job: child, payload: { n }, options })
}

function transaction(): { readonly tx: DatabaseSync } & Disposable {
  const tx = new DatabaseSync(':memory:')
  tx.exec('begin')
  return { tx, [Symbol.dispose]: () => tx.close() }
}

test('a child that the log refused is dispatched again under the same id, by the same run and by the next', async () => {
  const id = randomUUID()
  const stored = new Set<string>()
  let failing = true
  const first = startRun({ id }, stored, jsonCodec, () => (failing ? new Error('no answer') : undefined))
  await expect(first(1)).rejects.toThrow('no answer')
  failing = false
  const again = await first(1)
  expect(again.status).toBe('added')
  expect(await startRun({ id }, stored)(1)).toEqual({ id: again.id, status: 'duplicate' })
})

test('a transaction that was rolled back and repeated dispatches the same child, not one more', async () => {
  const id = randomUUID()
  const stored = new Set<string>()
  using first = transaction()
  using second = transaction()
  using third = transaction()
  const run = startRun({ id }, stored)

  const lost = await run(1, { tx: first.tx })
  stored.delete(lost.id)
  expect(await run(1, { tx: second.tx })).toEqual(lost)
  // That one has committed: in another transaction it is a second child.
  const next = await run(1, { tx: third.tx })
  expect(next.status).toBe('added')
  expect(next.id).not.toBe(lost.id)

  const later = startRun({ id }, stored)
  const ids = [await later(1, { tx: first.tx }), await later(1, { tx: second.tx })]
  expect(ids).toEqual([lost, next].map((receipt) => ({ id: receipt.id, status: 'duplicate' })))
})

test('the id of a child tells nobody without the key what its payload is', async () => {
  const keys = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')]
  const idWith = async (codec: Codec, name: string): Promise<string> => {
    const id = '0190b5a0-0000-7000-8000-000000000000'
    const job = { meta: {}, payload: { codec: name, text: '' } } as unknown as Claim['job']
    return (await startRun({ id, job }, new Set(), codec)(1)).id
  }
  const [one, two] = keys.map((key) => encryptingCodec([key]))
  const { codec: name } = await one!.encode('1', { job: 'a', as: 'payload' })
  const sealed = await idWith(one!, name)
  expect(sealed).not.toBe(await idWith(jsonCodec, 'json'))
  expect(sealed).not.toBe(await idWith(two!, name))
  // Its parent’s payload says which key: a new one that comes between two runs changes nothing.
  expect(await idWith(encryptingCodec([keys[1]!, keys[0]!]), name)).toBe(sealed)
})

test('a child’s id is a UUID that stands beside its parent’s', async () => {
  const id = '0190b5a0-1234-7000-8000-000000000000'
  const { id: made } = await startRun({ id }, new Set())(1)
  expect(made).toMatch(/^0190b5a0-1234-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

/** Adds to a flow in a run whose dispatches are answered by `stored`, as a log does. Resolves with the ids. */
function startAdding(
  stored: Set<string>,
  refuse: () => Error | undefined = () => undefined,
): (labels: readonly number[], tx?: DatabaseSync) => Promise<readonly string[]> {
  const nothing = () => Promise.reject(new Error('nothing is dispatched here'))
  const children = new Children({
    claim: { id: 'a run', job: { meta: {}, payload: { codec: 'json', text: '1' } } } as Claim,
    idempotencyKey: 'the parent',
    codec: jsonCodec,
    dispatcher: {
      dispatch: nothing,
      dispatchFlow: nothing,
      async addToFlow(_flow, requests, _tx, parentOf) {
        const deps = { settings: settingsDefaults, codec: jsonCodec, newId: randomUUID }
        const jobs = await Promise.all(
          (requests as readonly RequestOfJob[]).map(async (request, index) =>
            prepare(request, parentOf(index), deps),
          ),
        )
        const error = refuse()
        if (error !== undefined) throw error
        return jobs.map(({ id }) => {
          const status = stored.has(id) ? 'duplicate' : 'added'
          stored.add(id)
          return { id, status }
        })
      },
    },
  })
  return async (labels, tx) => {
    const requests = labels.map((n) => child.with({ n }))
    return (await children.add(randomUUID(), requests, tx)).map(({ id }) => id)
  }
}

test('members of a flow are named by what they are: the same in each run, and also after a refusal', async () => {
  let failing = true
  const first = startAdding(new Set(), () => (failing ? new Error('no answer') : undefined))
  await expect(first([1, 1, 2])).rejects.toThrow('no answer')
  failing = false
  const ids = await first([1, 1, 2])
  expect(new Set(ids).size).toBe(3)
  expect(await startAdding(new Set())([2, 1, 1])).toEqual([ids[2], ids[0], ids[1]])
  expect(await first([1])).not.toContain(ids[0])
})

test('members added again in a repeated transaction are the same, unless the one before has committed', async () => {
  const [rolledBack, repeated] = [transaction(), transaction()]
  using _one = rolledBack
  using _two = repeated
  const stored = new Set<string>()
  const add = startAdding(stored)
  const ids = await add([1, 2], rolledBack.tx)
  stored.clear()
  expect(await add([1, 2], repeated.tx)).toEqual(ids)

  const committed = startAdding(new Set())
  const before = await committed([1, 2], rolledBack.tx)
  const after = await committed([1, 2], repeated.tx)
  expect(new Set([...before, ...after]).size).toBe(4)
})
