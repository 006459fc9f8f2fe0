import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, fixed, handle, PermanentError } from '../../src/index.ts'
import type { Middleware } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, stage } from './stage.ts'

const count = defineJob({
  name: 'count',
  payload: z.object({ n: z.number() }),
  retry: { attempts: 2, backoff: fixed(0) },
})

test('hooks and middleware are called in order, and after hears what the log has recorded', async () => {
  await using on = stage()
  const calls: string[] = []
  const layer =
    (name: string): Middleware =>
    async (ctx, next) => {
      calls.push(`${name} in ${ctx.job.name}`)
      const value = await next()
      calls.push(`${name} out`)
      return value
    }
  await on.work({
    middleware: [layer('outer'), layer('inner')],
    handlers: [handle(count, ({ n }) => void calls.push(`handler ${n}`), { middleware: [layer('own')] })],
    before: ({ job, attempt }) => void calls.push(`before ${job.name} ${attempt}`),
    after: async ({ job, outcome }) => {
      calls.push(`after ${outcome}, the log says ${(await on.log.get(job.id))?.state}`)
    },
  })
  const { id } = await on.errand.dispatch(count, { n: 7 })
  await eventually(() => expect(calls.at(-1)).toMatch(/^after/))
  expect(calls).toEqual([
    'before count 1',
    'outer in count',
    'inner in count',
    'own in count',
    'handler 7',
    'own out',
    'inner out',
    'outer out',
    'after succeeded, the log says succeeded',
  ])
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('a before hook that throws errs the attempt, and the handler is not called', async () => {
  await using on = stage()
  const handled: number[] = []
  await on.work({
    handlers: [handle(count, ({ n }) => void handled.push(n))],
    before: ({ attempt }) => {
      if (attempt === 1) throw new Error('not now')
    },
  })
  const { id } = await on.errand.dispatch(count, { n: 1 })
  await on.until(id, 'succeeded')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'due', 'started', 'succeeded'])
  expect(handled).toEqual([1])
})

test('failing and failed are called once, when the job has failed for good, with its last error', async () => {
  await using on = stage()
  const calls: unknown[] = []
  await on.work({
    handlers: [
      handle(
        count,
        (_, ctx) => {
          throw new Error(`attempt ${ctx.attempt}`)
        },
        { failed: (payload, error, job) => void calls.push(['failed', payload, error.message, job.name]) },
      ),
    ],
    after: ({ outcome }) => void calls.push(['after', outcome]),
    failing: ({ job, error, cause }) => void calls.push(['failing', job.payload, error.message, cause]),
  })
  await on.errand.dispatch(count, { n: 3 })
  await eventually(() => expect(calls).toHaveLength(4))
  expect(calls).toEqual([
    ['after', 'errored'],
    ['after', 'failed'],
    ['failing', { n: 3 }, 'attempt 2', 'error'],
    ['failed', { n: 3 }, 'attempt 2', 'count'],
  ])
})

test('a slot is free again when the hooks after a run have ended, and not before', async () => {
  await using on = stage()
  const order: string[] = []
  await on.work({
    concurrency: 1,
    handlers: [handle(count, ({ n }) => void order.push(`handler ${n}`))],
    after: async ({ job }) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      order.push(`after ${JSON.stringify(job.payload)}`)
    },
  })
  const receipts = await on.errand.dispatchMany([1, 2].map((n) => count.with({ n })))
  await eventually(() => expect(order).toHaveLength(4))
  expect(order).toEqual(['handler 1', 'after {"n":1}', 'handler 2', 'after {"n":2}'])
  for (const { id } of receipts) expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('a throw in after, failing or failed is logged and changes nothing', async () => {
  await using on = stage()
  const fail = (): never => {
    throw new Error('the hook is broken')
  }
  await on.work({
    handlers: [
      handle(
        count,
        () => {
          throw new PermanentError('no')
        },
        { failed: fail },
      ),
    ],
    after: fail,
    failing: fail,
  })
  const { id } = await on.errand.dispatch(count, { n: 1 })
  await eventually(() => {
    const told = on.lines.filter((line) => line.level === 'error').map((line) => line.message)
    expect(told.filter((message) => message?.startsWith('the hook '))).toHaveLength(3)
  })
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
})

test('looping is asked before each pass, and false skips it', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  let open = false
  let asked = 0
  await on.work({
    handlers: [handle(count, () => undefined)],
    looping: ({ free }) => {
      asked += free > 0 ? 1 : 0
      return open ? undefined : false
    },
  })
  const { id } = await on.errand.dispatch(count, { n: 1 })
  await clock.advance(3_000)
  expect(asked).toBeGreaterThan(1)
  expect(await on.history(id)).toEqual(['dispatched'])
  open = true
  await clock.advance(2_000)
  await on.until(id, 'succeeded')
})

test('a hook that never ends is left behind after ten seconds', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  await on.work({
    handlers: [handle(count, () => undefined)],
    before: ({ attempt }) => (attempt === 1 ? new Promise(() => undefined) : undefined),
  })
  const { id } = await on.errand.dispatch(count, { n: 1 })
  await eventually(async () => expect(await on.history(id)).toContain('started'))
  await clock.advance(9_000)
  expect(await on.history(id)).toEqual(['dispatched', 'started'])
  await clock.advance(2_000)
  await on.until(id, 'succeeded')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'due', 'started', 'succeeded'])
})

test("a middleware's outcome takes the place of the handler's", async () => {
  await using on = stage()
  await on.work({
    middleware: [
      async (ctx, next) => {
        await next()
        return ctx.cancel('the middleware knows better')
      },
    ],
    handlers: [handle(count, (_, ctx) => ctx.snooze('1h'))],
  })
  const { id } = await on.errand.dispatch(count, { n: 1 })
  await on.until(id, 'cancelled')
})
