import { expect, test } from 'vitest'
import { z } from 'zod'
import { jobDefaults } from '../../src/config/defaults.ts'
import { resolvedJob } from '../../src/define/job.ts'
import { defineJob, exponential } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'

/** Past the compiler, as JavaScript would. */
const loosely = (job: unknown) => () => defineJob(job as Parameters<typeof defineJob>[0])

test('a job that says nothing but its name gets every default', () => {
  const resolved = resolvedJob(defineJob({ name: 'mail.send' }))
  expect(resolved).toMatchObject({
    name: 'mail.send',
    queue: 'default',
    lane: 'normal',
    payload: undefined,
    returns: undefined,
    timeoutMs: 900_000,
    crashes: 3,
    onCrash: 'retry',
    order: undefined,
    share: undefined,
    unique: undefined,
    tags: undefined,
    payloadVersion: 1,
  })
  expect(resolved.retry).toMatchObject({ attempts: 5, untilMs: undefined, when: undefined })
})

test('the default backoff grows from at most a second to at most 15 minutes, with jitter', () => {
  const { backoff } = resolvedJob(defineJob({ name: 'a' })).retry
  const waits = Array.from({ length: 50 }, () => backoff(1))
  expect(Math.max(...waits)).toBeLessThanOrEqual(jobDefaults.backoffBaseMs)
  expect(new Set(waits).size).toBeGreaterThan(1)
  expect(Math.max(...Array.from({ length: 200 }, () => backoff(40)))).toBeLessThanOrEqual(
    jobDefaults.backoffMaxMs,
  )
})

test('durations become milliseconds and policies keep what they say', () => {
  const resolved = resolvedJob(
    defineJob({
      name: 'media.make-thumbnail',
      queue: 'media',
      lane: 'high',
      timeout: '30s',
      payload: z.object({ file: z.string() }),
      returns: z.object({ path: z.string() }),
      retry: {
        attempts: 3,
        until: '1h',
        backoff: exponential('1s'),
        when: (error) => error.name !== 'Fatal',
      },
      crashes: 1,
      onCrash: 'fail',
      order: { key: (p) => p.file, onFailure: 'skip' },
      unique: { key: (p) => p.file, until: 'started', for: '5m' },
      tags: (p) => [p.file],
    }),
  )
  expect(resolved).toMatchObject({
    queue: 'media',
    lane: 'high',
    timeoutMs: 30_000,
    retry: { attempts: 3, untilMs: 3_600_000 },
    crashes: 1,
    onCrash: 'fail',
    order: { onFailure: 'skip' },
    unique: { until: 'started', forMs: 300_000 },
  })
  expect(resolved.order?.key({ file: 'a' })).toBe('a')
})

test('a run without a timeout must be asked for by name', async () => {
  expect(resolvedJob(defineJob({ name: 'a', timeout: 'none' })).timeoutMs).toBeNull()
  for (const timeout of [Number.POSITIVE_INFINITY, 0]) {
    const refusal = await catchRefusal(() => defineJob({ name: 'a', timeout }))
    expect(refusal).toMatchObject({ code: 'E_DURATION', message: expect.stringContaining("'none'") })
  }
})

test('a definition cannot be changed after it was made', () => {
  const job = defineJob({ name: 'a', retry: { attempts: 2 } })
  const resolved = resolvedJob(job)
  for (const each of [job, resolved, resolved.retry]) expect(Object.isFrozen(each)).toBe(true)
})

test.each(['', ' ', '.a', 'a b', 'a\nb', 'ä', 'a'.repeat(129), undefined, null, 7, {}])(
  'a job cannot be named %j',
  async (name) => {
    expect(await catchRefusal(loosely({ name }))).toMatchObject({ code: 'E_NAME' })
  },
)

test.each(['', 'a b', 'media/thumbs', '*', 'q'.repeat(65), 7])(
  'a queue cannot be named %j',
  async (queue) => {
    expect(await catchRefusal(loosely({ name: 'a', queue }))).toMatchObject({ code: 'E_NAME' })
  },
)

test.each([
  [{ timeout: '10 minutes' }],
  [{ timeout: '-1s' }],
  [{ timeout: -1 }],
  [{ timeout: Number.NaN }],
  [{ retry: { until: 'soon' } }],
  [{ unique: { key: () => 'k', for: '5 min' } }],
])('%j is not a duration', async (policy) => {
  expect(await catchRefusal(loosely({ name: 'a', ...policy }))).toMatchObject({ code: 'E_DURATION' })
})

test.each([
  [{ lane: 'urgent' }],
  [{ onCrash: 'ignore' }],
  [{ crashes: 0 }],
  [{ retry: { attempts: 0 } }],
  [{ retry: { attempts: 1.5 } }],
  [{ retry: { backoff: '1s' } }],
  [{ retry: { when: true } }],
  [{ retry: 5 }],
  [{ share: 'file' }],
  [{ order: { key: 'file' } }],
  [{ order: { key: () => 'k', onFailure: 'wait' } }],
  [{ unique: {} }],
  [{ unique: { key: () => 'k', until: 'ended' } }],
  [{ tags: ['a'] }],
  [{ payload: { file: 'string' } }],
  [{ returns: () => true }],
])('%j is a wrong option', async (policy) => {
  expect(await catchRefusal(loosely({ name: 'a', ...policy }))).toMatchObject({ code: 'E_OPTION' })
})

test('a misspelt option is refused, with the one that was meant', async () => {
  const unknown = await catchRefusal(loosely({ name: 'a', rety: { attempts: 3 } }))
  expect(unknown).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('did you mean "retry"?'),
  })
  const nested = await catchRefusal(loosely({ name: 'a', retry: { atempts: 3 } }))
  expect(nested.message).toContain('did you mean "attempts"?')
  const strange = await catchRefusal(loosely({ name: 'a', colour: 'red' }))
  expect(strange.message).toContain('known: name, queue')
})

test('defineJob without an object is refused', async () => {
  for (const nothing of [undefined, null, 'a']) {
    expect(await catchRefusal(loosely(nothing))).toMatchObject({ code: 'E_OPTION' })
  }
})

test('a job of another copy of the package is known', () => {
  const foreign = Object.defineProperty({}, Symbol.for('@errand/core:job'), { value: { name: 'foreign' } })
  expect(resolvedJob(foreign as never).name).toBe('foreign')
})

test('a request refuses options that dispatch would not know', async () => {
  const job = defineJob({ name: 'a' })
  expect(await catchRefusal(() => job.with(undefined, { dealy: '1s' } as never))).toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('did you mean "delay"?'),
  })
})
