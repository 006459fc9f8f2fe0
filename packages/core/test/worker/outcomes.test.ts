import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, fixed, handle, PermanentError } from '../../src/index.ts'
import type { Context, Failure } from '../../src/index.ts'
import type { Outcome } from '../../src/define/handler.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { stage } from './stage.ts'
import type { Stage } from './stage.ts'

const greet = defineJob({
  name: 'greet',
  payload: z.object({ who: z.string() }),
  returns: z.object({ text: z.string().max(100_000) }),
  retry: { backoff: fixed('1h') },
})
const chore = defineJob({ name: 'chore', retry: { attempts: 2, backoff: fixed(0) } })

async function lastError(on: Stage, id: string): Promise<Failure> {
  const text = (await on.log.get(id))?.error?.text
  return JSON.parse(text ?? 'null') as Failure
}

/** Runs one chore whose handler does this, until its newest event is of the type given. */
async function run(on: Stage, until: string, handler: (ctx: Context) => unknown): Promise<string> {
  await on.work({ handlers: [handle(chore, (_, ctx) => handler(ctx))] })
  const { id } = await on.errand.dispatch(chore)
  await on.until(id, until)
  return id
}

test('a job that is dispatched runs once, and its result comes back', async () => {
  await using on = stage()
  const seen: string[] = []
  const handler = handle(greet, ({ who }) => {
    seen.push(who)
    return { text: `hello ${who}` }
  })
  await on.work({ handlers: [handler] })
  const receipt = await on.errand.dispatch(greet, { who: 'Ada' })
  expect(await on.errand.result(receipt)).toEqual({ text: 'hello Ada' })
  expect(seen).toEqual(['Ada'])
  expect(await on.history(receipt.id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('a job that throws runs again until its attempts are used up', async () => {
  await using on = stage()
  const attempts: number[] = []
  const id = await run(on, 'failed', (ctx) => {
    attempts.push(ctx.attempt)
    throw new TypeError(`attempt ${ctx.attempt} of ${ctx.maxAttempts}`)
  })
  expect(attempts).toEqual([1, 2])
  expect(await on.history(id)).toEqual([
    'dispatched',
    'started',
    'errored',
    'due',
    'started',
    'errored',
    'failed',
  ])
  expect(await lastError(on, id)).toMatchObject({ name: 'TypeError', message: 'attempt 2 of 2' })
})

test('a PermanentError fails the job for good, however deep it was thrown', async () => {
  await using on = stage()
  const id = await run(on, 'failed', () => {
    throw new Error('while charging', { cause: new PermanentError('the card is gone') })
  })
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
})

test('retry.when says which errors get another attempt; a retry.when that throws does not stop the retry', async () => {
  await using on = stage()
  const picky = defineJob({
    name: 'picky',
    retry: { attempts: 2, backoff: fixed(0), when: (error) => error.message !== 'hopeless' },
  })
  const broken = defineJob({
    name: 'broken-policy',
    retry: {
      attempts: 2,
      backoff: fixed(0),
      when: () => {
        throw new Error('the policy is broken')
      },
    },
  })
  const fail = (message: string) => () => {
    throw new Error(message)
  }
  await on.work({ handlers: [handle(picky, fail('hopeless')), handle(broken, fail('unlucky'))] })
  const hopeless = await on.errand.dispatch(picky)
  const unlucky = await on.errand.dispatch(broken)
  await on.until(hopeless.id, 'failed')
  await on.until(unlucky.id, 'failed')
  expect(await on.history(hopeless.id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
  expect(await on.history(unlucky.id)).toContain('due')
  expect(on.lines.map((line) => line.message)).toContain('retry.when failed')
})

test('no retry begins after the end that retry.until sets', async () => {
  await using on = stage()
  const brief = defineJob({ name: 'brief', retry: { attempts: 9, backoff: fixed('1m'), until: '30s' } })
  await on.work({
    handlers: [
      handle(brief, () => {
        throw new Error('too late for another')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(brief)
  await on.until(id, 'failed')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
})

test('every outcome that a handler returns is recorded as what it is', async () => {
  await using on = stage()
  const act = defineJob({ name: 'act', payload: z.object({ as: z.string() }), retry: { attempts: 1 } })
  const outcomes: Record<string, (ctx: Context) => Outcome> = {
    retry: (ctx) => ctx.retry({ after: '1h', reason: 'not yet' }),
    snooze: (ctx) => ctx.snooze('1h', 'later'),
    fail: (ctx) => ctx.fail('no way'),
    cancel: (ctx) => ctx.cancel('not needed'),
  }
  await on.work({ handlers: [handle(act, ({ as }, ctx) => outcomes[as]?.(ctx))] })
  const endings: Record<string, readonly string[]> = {
    retry: ['errored', 'failed'],
    snooze: ['snoozed'],
    fail: ['failed'],
    cancel: ['cancelled'],
  }
  for (const [as, ending] of Object.entries(endings)) {
    const { id } = await on.errand.dispatch(act, { as })
    await on.until(id, ending.at(-1) ?? '')
    expect(await on.history(id), as).toEqual(['dispatched', 'started', ...ending])
  }
})

test('ctx.retry waits as long as it says and counts as an attempt; snooze does not count', async () => {
  await using on = stage()
  const attempts: number[] = []
  const id = await run(on, 'succeeded', (ctx) => {
    attempts.push(ctx.attempt)
    if (ctx.run === 1) return ctx.snooze(0)
    return ctx.attempt === 1 ? ctx.retry({ after: 0 }) : undefined
  })
  expect(attempts).toEqual([1, 1, 2])
  const types = await on.history(id)
  expect(types.filter((type) => type === 'snoozed' || type === 'errored')).toEqual(['snoozed', 'errored'])
})

test('a job that is given back is ready at once and runs again', async () => {
  await using on = stage()
  const id = await run(on, 'succeeded', (ctx) => (ctx.run === 1 ? ctx.release() : undefined))
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released', 'started', 'succeeded'])
  expect(await on.releases(id)).toEqual(['asked'])
})

test('an outcome that was made and not returned is an error', async () => {
  await using on = stage()
  const id = await run(on, 'failed', (ctx) => {
    ctx.snooze('1h')
  })
  expect(await lastError(on, id)).toMatchObject({ message: expect.stringContaining('return ctx.snooze(…)') })
})

test('the outcome of another run is refused', async () => {
  await using on = stage()
  let kept: Outcome | undefined
  const id = await run(on, 'failed', (ctx) => {
    kept ??= ctx.snooze(0)
    return kept
  })
  expect(await on.history(id)).toContain('snoozed')
  expect(await lastError(on, id)).toMatchObject({
    message: expect.stringContaining('outcome of another run'),
  })
})

test('a result that does not fit its schema, or is too large, fails the job at once and is not stored', async () => {
  await using on = stage()
  const seen: string[] = []
  const handler = handle(greet, ({ who }) => {
    seen.push(who)
    return who === 'wrong' ? ({ text: 7 } as never) : { text: 'x'.repeat(70_000) }
  })
  await on.work({ handlers: [handler] })
  const wrong = await on.errand.dispatch(greet, { who: 'wrong' })
  const large = await on.errand.dispatch(greet, { who: 'large' })
  await on.until(wrong.id, 'failed')
  await on.until(large.id, 'failed')
  expect(await lastError(on, wrong.id)).toMatchObject({ message: expect.stringContaining('does not fit') })
  expect(await lastError(on, large.id)).toMatchObject({
    message: expect.stringContaining('the limit is 65536'),
  })
})

test('the idempotency key is the same for all runs of a job, and another after the replay of a success', async () => {
  await using on = stage()
  const keys: string[] = []
  const id = await run(on, 'succeeded', (ctx) => {
    keys.push(ctx.idempotencyKey)
    return ctx.run === 1 ? ctx.snooze(0) : undefined
  })
  await on.errand.jobs.replay(id, { by: 'tester' })
  await on.until(id, 'succeeded')
  expect(keys).toEqual([id, id, `${id}#1`])
})

test('a child that a handler dispatches knows its parent and inherits its meta', async () => {
  await using on = stage()
  const child = defineJob({ name: 'child' })
  const parent = defineJob({ name: 'parent' })
  let childId = ''
  await on.work({
    handlers: [
      handle(child, () => undefined),
      handle(parent, async (_, ctx) => {
        childId = (await ctx.dispatch(child)).id
      }),
    ],
  })
  const { id } = await on.errand.dispatch(parent, undefined, { meta: { tenant: 'acme' } })
  await on.until(id, 'succeeded')
  expect(await on.log.get(childId)).toMatchObject({ parentId: id, meta: { tenant: 'acme' } })
})

test('a waiter for a result and a follower of events are woken by them, not by the next poll', async () => {
  // The clock stands still, so no poll is ever due.
  await using on = stage({ clock: virtualClock() })
  await on.work({ handlers: [handle(greet, ({ who }) => ({ text: `hello ${who}` }))] })
  const receipt = await on.errand.dispatch(greet, { who: 'Ada' })
  const seen: string[] = []
  const following = (async () => {
    for await (const event of on.errand.events.follow({ job: receipt.id })) seen.push(event.type)
  })()
  expect(await on.errand.result(receipt)).toEqual({ text: 'hello Ada' })
  await following
  expect(seen).toEqual(['dispatched', 'started', 'succeeded'])
})
