import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineMessage } from '../../src/index.ts'
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

test('steps run, sleeps are over at once, and what else a handler waits for is given', async () => {
  const approved = defineMessage({ name: 'approved', payload: z.object({ by: z.string() }) })
  const handler = async (ctx: Context): Promise<unknown> => {
    const paid = await ctx.step('pay', ({ idempotencyKey }) => ({ key: idempotencyKey }))
    await ctx.sleep('nap', '14d')
    const late = await ctx.receive('late', approved, { timeout: '1d' })
    const { by } = await ctx.receive('approval', approved)
    const { path } = await ctx.call('small', resize, { file: 'a' })
    const book = await ctx.step('book', () => Promise.reject<string>(new Error('no'))).catch(String)
    return [paid, late, by, path, book]
  }
  const memory = { approval: { by: 'ada' }, small: { path: 'a.png' }, book: new Error('full') }
  const ctx = fakeContext(resize, { memory })
  const key = `${ctx.idempotencyKey}/pay`
  expect(await handler(ctx)).toEqual([{ key }, undefined, 'ada', 'a.png', 'Error: full'])
  expect(ctx.steps).toEqual([
    { name: 'pay', kind: 'step', result: { key } },
    { name: 'nap', kind: 'sleep', result: undefined },
    { name: 'late', kind: 'receive', result: undefined },
    { name: 'approval', kind: 'receive', result: { by: 'ada' } },
    { name: 'small', kind: 'call', result: { path: 'a.png' } },
  ])
})

test('a step by hand is checked as a real one, and what is not given is asked for', async () => {
  const ctx = fakeContext(resize)
  await ctx.step('a', () => 1)
  expect((await catchRefusal(() => ctx.step('a', () => 1))).code).toBe('E_STEP_NAME')
  expect((await catchRefusal(() => ctx.step('b', () => new Date()))).code).toBe('E_STEP_RESULT')
  expect((await catchRefusal(() => ctx.step('c', () => ctx.sleep('d', '1s')))).code).toBe('E_STEP_NESTED')
  expect((await catchRefusal(() => ctx.sleep('e', 'x' as '1s'))).code).toBe('E_DURATION')
  expect((await catchRefusal(() => ctx.call('f', resize, { file: 'a' }))).code).toBe('E_FAKE')
})
