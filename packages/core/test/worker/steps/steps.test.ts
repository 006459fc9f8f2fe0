import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, fixed, handle } from '../../../src/index.ts'
import type { Context } from '../../../src/index.ts'
import { eventually, stage } from '../stage.ts'

const job = defineJob({ name: 'order', retry: { attempts: 4, backoff: fixed(0) } })

test('a step runs once, though its handler runs three times', async () => {
  await using on = stage()
  const done: string[] = []
  const got: unknown[] = []
  const keys: string[] = []
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        const charge = await ctx.step('charge', ({ idempotencyKey }) => {
          done.push('charge')
          keys.push(idempotencyKey)
          return { id: 7, note: undefined }
        })
        got.push(charge)
        if (ctx.run === 1) throw new Error('after the charge')
        await ctx.step('ship', async () => {
          done.push('ship')
          if (ctx.run === 2) throw new Error('the van is late')
        })
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(done).toEqual(['charge', 'ship', 'ship'])
  expect(got).toEqual([{ id: 7 }, { id: 7 }, { id: 7 }])
  expect(keys).toEqual([`${id}/charge`])
  expect((await on.log.memory(id)).steps).toMatchObject([
    { name: 'charge', run: 1, order: 1 },
    { name: 'ship', run: 3, order: 2 },
  ])
})

test('a step that threw may be tried again in the same run', async () => {
  await using on = stage()
  const tries: number[] = []
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        for (let n = 1; ; n += 1) {
          try {
            return await ctx.step('flaky', () => {
              tries.push(n)
              if (n < 3) throw new Error('not yet')
              return n
            })
          } catch {
            // again
          }
        }
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(tries).toEqual([1, 2, 3])
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

interface Misuse {
  readonly misuse: string
  readonly code: string
  readonly run: (ctx: Context) => Promise<unknown>
}

const parts = z.object({ n: z.number() })
const misuses: readonly Misuse[] = [
  {
    misuse: 'two steps of one name',
    code: 'E_STEP_NAME',
    run: async (ctx) => {
      await ctx.step('a', () => 1)
      await ctx.step('a', () => 2)
    },
  },
  {
    misuse: 'two steps of one name at a time',
    code: 'E_STEP_NAME',
    run: (ctx) => Promise.all([ctx.step('a', () => 1), ctx.step('a', () => 2)]),
  },
  { misuse: 'a name with a space', code: 'E_STEP_NAME', run: (ctx) => ctx.step('a b', () => 1) },
  { misuse: 'a name of 129 letters', code: 'E_STEP_NAME', run: (ctx) => ctx.step('a'.repeat(129), () => 1) },
  {
    misuse: 'a step in a step',
    code: 'E_STEP_NESTED',
    run: (ctx) => ctx.step('a', () => ctx.step('b', () => 1)),
  },
  {
    misuse: 'a sleep in a step',
    code: 'E_STEP_NESTED',
    run: (ctx) => ctx.step('a', async () => ctx.sleep('b', '1d')),
  },
  {
    misuse: 'a Date as a result',
    code: 'E_STEP_RESULT',
    run: (ctx) => ctx.step('a', () => ({ at: new Date() })),
  },
  {
    misuse: 'a result that does not fit its schema',
    code: 'E_STEP_RESULT',
    run: (ctx) => ctx.step('a', () => ({ n: 'x' }) as unknown as { n: number }, { returns: parts }),
  },
  {
    misuse: 'a result of 70 KB',
    code: 'E_STEP_TOO_LARGE',
    run: (ctx) => ctx.step('a', () => 'x'.repeat(70_000)),
  },
  {
    misuse: 'a hundred and one waits',
    code: 'E_STEP_LIMIT',
    run: (ctx) => Promise.all(Array.from({ length: 101 }, (_, n) => ctx.sleep(`s/${n}`, '1d'))),
  },
  { misuse: 'no duration', code: 'E_DURATION', run: (ctx) => ctx.sleep('a', 'soon' as '1d') },
  { misuse: 'no date', code: 'E_OPTION', run: (ctx) => ctx.sleep('a', { until: new Date(Number.NaN) }) },
  {
    misuse: 'no message',
    code: 'E_OPTION',
    run: (ctx) => ctx.receive('a', { kind: 'message', name: 'x' }),
  },
  {
    misuse: 'a pool as tx',
    code: 'E_TRANSACTION',
    run: (ctx) => ctx.step('a', () => 1, { tx: {} as never }),
  },
  {
    misuse: 'an unknown option',
    code: 'E_OPTION',
    run: (ctx) => ctx.step('a', () => 1, { tc: 1 } as object),
  },
  {
    misuse: 'ctx.suspended as an outcome',
    code: 'E_OUTCOME',
    run: async (ctx) => ctx.suspended,
  },
]

test.for(misuses)('$misuse is an error that says what to do: $code', async ({ code, run }) => {
  await using on = stage()
  await on.work({ handlers: [handle(job, (_, ctx) => run(ctx))] })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'failed')
  const { error, run: runs } = (await on.errand.jobs.get(id)) ?? {}
  expect(error).toMatchObject({ code })
  // Of a fault of steps another run would meet the same.
  if (code.startsWith('E_STEP')) expect(runs).toBe(1)
})

test('a job of a thousand steps runs no more of them, and fails for good', async () => {
  await using on = stage()
  let last = 0
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        for (let n = 1; ; n += 1) {
          await ctx.step(`n/${n}`, () => {
            last = n
          })
        }
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'failed')
  expect(last).toBe(1_000)
  expect((await on.errand.jobs.get(id))?.error).toMatchObject({ code: 'E_STEP_LIMIT' })
})

test('what does not fit its schema any more fails the job at once; after the mend a replay goes on', async () => {
  await using on = stage()
  const kept: unknown[] = []
  let schema: z.ZodType<{ n: number }, { n: number }> = parts
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        kept.push(await ctx.step('a', () => ({ n: 1 }), { returns: schema }))
        if (ctx.run === 1) {
          schema = z.object({ n: z.number(), more: z.string() })
          throw new Error('again')
        }
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'failed')
  expect((await on.errand.jobs.get(id))?.error).toMatchObject({ code: 'E_STEP_RESULT' })
  schema = z.object({ n: z.number(), more: z.string().default('') })
  await on.errand.jobs.replay(id, { by: 'tester' })
  await on.until(id, 'succeeded')
  expect(kept).toEqual([{ n: 1 }, { n: 1, more: '' }])
})

test('a name that was a wait is no step, and the job says so', async () => {
  await using on = stage()
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        if (ctx.run > 1) return ctx.sleep('a', '1d')
        await ctx.step('a', () => 1)
        throw new Error('again')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'failed')
  expect((await on.errand.jobs.get(id))?.error).toMatchObject({ code: 'E_STEP_NAME' })
})

test('a step that nobody awaits is told in the log, and so is a wait; the run has ended', async () => {
  await using on = stage()
  await on.work({
    handlers: [
      handle(job, (_, ctx) => {
        void ctx.step('forgotten', () => new Promise(() => undefined))
        void ctx.sleep('nap', '1d')
        const lost = ctx.sleep('patience', '1d')
        return Promise.race([lost, Promise.resolve()])
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(on.lines.filter(({ level }) => level === 'warn')).toMatchObject([
    { fields: { names: ['forgotten', 'nap'] } },
  ])
})

test('steps of all jobs of a process are kept together', async () => {
  const asks: number[] = []
  await using on = stage({
    wrap: (log) => ({
      ...log,
      remember: (steps, by) => {
        asks.push(steps.length)
        return log.remember(steps, by)
      },
    }),
  })
  let running = 0
  const all = Promise.withResolvers<void>()
  await on.work({
    concurrency: 8,
    handlers: [
      handle(job, async (_, ctx) => {
        running += 1
        if (running === 8) all.resolve()
        await all.promise
        await ctx.step('a', () => 1)
      }),
    ],
  })
  const ids = await Promise.all(Array.from({ length: 8 }, async () => (await on.errand.dispatch(job)).id))
  for (const id of ids) await on.until(id, 'succeeded')
  expect(asks).toEqual([8])
})

test('a job that uses no step asks the log for nothing, in later runs either', async () => {
  const asked: string[] = []
  await using on = stage({
    wrap: (log) => ({
      ...log,
      memory: (id) => {
        asked.push(id)
        return log.memory(id)
      },
    }),
  })
  await on.work({
    handlers: [
      handle(job, (_, ctx) => {
        if (ctx.run < 3) throw new Error('again')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(asked).toEqual([])
})

test('of two steps at a time, both are remembered, and each gets its own result', async () => {
  await using on = stage()
  const got: unknown[] = []
  let runs = 0
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        got.push(
          await Promise.all([
            ctx.step('a', async () => ((runs += 1), 'a')),
            ctx.step('b', async () => ((runs += 1), 'b')),
          ]),
        )
        if (ctx.run === 1) throw new Error('again')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(got).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ])
  expect(runs).toBe(2)
  await eventually(async () => expect((await on.errand.jobs.memory(id)).steps).toHaveLength(2))
})
