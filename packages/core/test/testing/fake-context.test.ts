import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import type { Context } from '../../src/index.ts'
import { fakeContext } from '../../src/testing.ts'
import { catchRefusal } from '../catch-refusal.ts'

const resize = defineJob({
  name: 'media.resize',
  queue: 'media',
  payload: z.object({ file: z.string() }),
  returns: z.object({ path: z.string() }),
  retry: { attempts: 7 },
})
const tx = { query: async () => ({ rows: [] }) }

test('a handler can be called by hand', async () => {
  const handler = async ({ file }: { file: string }, ctx: Context<{ path: string }>) => {
    ctx.progress(0.5, 'half')
    ctx.log.info({}, 'working')
    return { path: `${file}.${ctx.attempt}` }
  }
  const ctx = fakeContext(resize, { attempt: 2, payload: { file: 'a' } })
  expect(await handler({ file: 'a' }, ctx)).toEqual({ path: 'a.2' })
  expect(ctx.progressed).toEqual([{ value: 0.5, message: 'half' }])
  expect(ctx).toMatchObject({ attempt: 2, maxAttempts: 7, idempotencyKey: ctx.job.id })
  expect(ctx.job).toMatchObject({
    name: 'media.resize',
    queue: 'media',
    lane: 'normal',
    payload: { file: 'a' },
  })
})

test('what an outcome asks for can be read', () => {
  const ctx = fakeContext(resize)
  expect(ctx.readOutcome(ctx.retry({ after: '1m', reason: 'busy' }))).toEqual({
    kind: 'retry',
    afterMs: 60_000,
    reason: 'busy',
  })
  expect(ctx.readOutcome(ctx.snooze('1m'))).toMatchObject({ kind: 'snooze', delayMs: 60_000 })
  expect(ctx.readOutcome(ctx.fail('no'))).toMatchObject({ kind: 'fail', failure: { message: 'no' } })
  expect(ctx.readOutcome(ctx.cancel())).toMatchObject({ kind: 'cancel' })
  expect(ctx.readOutcome(ctx.release())).toMatchObject({ kind: 'release' })
  expect(ctx.readOutcome({ path: 'a' })).toBeUndefined()
  expect(ctx.readOutcome(fakeContext(resize).release())).toBeUndefined()
})

test('children and completions are kept, and checked as the real ones are', async () => {
  const ctx = fakeContext(resize)
  await ctx.dispatch(resize, { file: 'b' }, { delay: '1s' })
  expect(ctx.dispatched).toEqual([{ job: resize, payload: { file: 'b' }, options: { delay: '1s' } }])
  await ctx.complete({ tx, result: { path: 'a' } })
  expect(ctx.completed).toEqual({ tx, result: { path: 'a' } })
  const pool = { ...tx, totalCount: 3 }
  expect(await catchRefusal(() => ctx.complete({ tx: pool as never, result: { path: 'a' } }))).toMatchObject({
    code: 'E_TRANSACTION',
  })
})

test('the test decides when the signals abort', () => {
  const ctx = fakeContext(resize)
  expect([ctx.signal.aborted, ctx.stopping.aborted]).toEqual([false, false])
  ctx.stop()
  expect([ctx.signal.aborted, ctx.stopping.aborted]).toEqual([false, true])
  ctx.abort()
  expect(ctx.signal.reason).toMatchObject({ code: 'E_CANCELLED' })
})

test('a handler of a schedule is told its tick', () => {
  const tick = { schedule: 'nightly', at: new Date(), previous: undefined, missed: 0 }
  const ctx = fakeContext(resize, { tick, payload: { file: 'a' } })
  expect(ctx.tick).toEqual(tick)
  expect(fakeContext(resize).tick).toBeUndefined()
})
