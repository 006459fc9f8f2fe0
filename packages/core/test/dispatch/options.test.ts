import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import type { DispatchOptions } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'

const job = defineJob({
  name: 'mail.send',
  queue: 'mail',
  payload: z.object({ to: z.string() }),
  order: { key: (p) => p.to, onFailure: 'skip' },
  unique: { key: (p) => `u:${p.to}`, for: '5m' },
  tags: (p) => ['mail', p.to],
  retry: { attempts: 7, until: '1h' },
  timeout: 'none',
  crashes: 2,
  onCrash: 'fail',
})

test('the definition’s policy stands on the job', async () => {
  let appended: unknown
  await using test = testInstance({
    log: (log) => ({ append: (jobs, options) => ((appended = jobs[0]), log.append(jobs, options)) }),
  })
  await test.errand.dispatch(job, { to: 'ann' })
  expect(appended).toMatchObject({
    name: 'mail.send',
    queue: 'mail',
    lane: 'normal',
    payloadVersion: 1,
    payload: { codec: 'json', text: '{"to":"ann"}' },
    ordering: { key: 'ann', onFailure: 'skip' },
    unique: { key: 'u:ann', until: 'finished', forMs: 300_000 },
    tags: ['mail', 'ann'],
    meta: {},
    maxAttempts: 7,
    maxCrashes: 2,
    expiresMs: 3_600_000,
    timeoutMs: null,
    onCrash: 'fail',
    publishGraceMs: 30_000,
  })
})

test('an option of the call stands above the definition', async () => {
  await using test = testInstance()
  const at = new Date(test.clock.now() + 60_000)
  const id = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'
  const options: DispatchOptions = {
    id,
    lane: 'critical',
    queue: 'slow-mail',
    orderingKey: 'o',
    uniqueKey: 'u',
    shareKey: 's',
    tags: ['extra', 'mail'],
    meta: { tenant: 'acme' },
    at,
  }
  const receipt = await test.errand.dispatch(job, { to: 'ann' }, options)
  expect(receipt).toEqual({ id: id.toLowerCase(), status: 'added' })
  expect(await test.errand.jobs.get(receipt.id)).toMatchObject({
    state: 'scheduled',
    lane: 'critical',
    queue: 'slow-mail',
    orderingKey: 'o',
    uniqueKey: 'u',
    shareKey: 's',
    tags: ['mail', 'ann', 'extra'],
    meta: { tenant: 'acme' },
    runAt: at,
  })
})

test('a delay is counted by the log’s clock; a moment in the past is now', async () => {
  await using test = testInstance()
  const delayed = await test.errand.dispatch(job, { to: 'a' }, { delay: '10m' })
  const past = await test.errand.dispatch(job, { to: 'b' }, { at: new Date(0) })
  expect(await test.errand.jobs.get(delayed.id)).toMatchObject({
    runAt: new Date(test.clock.now() + 600_000),
  })
  expect(await test.errand.jobs.get(past.id)).toMatchObject({ state: 'ready' })
})

test.each<[object, string]>([
  [{ delya: '1s' }, 'E_OPTION'],
  [{ delay: -1 }, 'E_DURATION'],
  [{ delay: '10 minutes' }, 'E_DURATION'],
  [{ delay: Number.NaN }, 'E_DURATION'],
  [{ delay: '1s', at: new Date() }, 'E_OPTION'],
  [{ at: '2026-01-01' }, 'E_OPTION'],
  [{ at: new Date(Number.NaN) }, 'E_OPTION'],
  [{ lane: 'urgent' }, 'E_OPTION'],
  [{ queue: 'a b' }, 'E_NAME'],
  [{ queue: '' }, 'E_NAME'],
  [{ id: '7' }, 'E_ID'],
  [{ orderingKey: '' }, 'E_KEY'],
  [{ orderingKey: 7 }, 'E_KEY'],
  [{ orderingKey: 'k'.repeat(513) }, 'E_KEY'],
  [{ uniqueKey: 'a\0b' }, 'E_KEY'],
  [{ shareKey: '' }, 'E_KEY'],
  [{ shareKey: 7 }, 'E_KEY'],
  [{ shareKey: 'k'.repeat(513) }, 'E_KEY'],
  [{ uniqueKey: 'a\uD800b' }, 'E_KEY'],
  [{ tags: 'a' }, 'E_KEY'],
  [{ tags: [''] }, 'E_KEY'],
  [{ tags: ['a\uDC00'] }, 'E_KEY'],
  [{ tags: Array.from({ length: 40 }, (_, index) => `t${index}`) }, 'E_KEY'],
  [{ meta: { '': 'a' } }, 'E_KEY'],
  [{ meta: { a: 7 } }, 'E_KEY'],
  [{ meta: { a: 'x\0' } }, 'E_KEY'],
  [{ meta: { a: 'x'.repeat(8_193) } }, 'E_KEY'],
  [{ meta: ['a'] }, 'E_OPTION'],
  [{ tx: {} }, 'E_TRANSACTION'],
])('%j is refused with %s, before anything reaches the log', async (options, code) => {
  let appends = 0
  await using test = testInstance({
    log: (log) => ({ append: (...args) => (appends++, log.append(...args)) }),
  })
  const refusal = await catchRefusal(() => test.errand.dispatch(job, { to: 'ann' }, options))
  expect([refusal.code, appends]).toEqual([code, 0])
})

test('a key function that throws, or gives no text, is refused', async () => {
  await using test = testInstance()
  const cause = new TypeError('p.user is undefined')
  const throws = defineJob({
    name: 'a',
    payload: z.unknown(),
    order: {
      key: () => {
        throw cause
      },
    },
  })
  const nothing = defineJob({ name: 'b', payload: z.unknown(), unique: { key: () => undefined as never } })
  const long = defineJob({ name: 'c', payload: z.unknown(), share: () => 'k'.repeat(513) })
  expect(await catchRefusal(() => test.errand.dispatch(long, 1))).toMatchObject({ code: 'E_KEY' })
  expect(await catchRefusal(() => test.errand.dispatch(throws, 1))).toMatchObject({ code: 'E_KEY', cause })
  expect(await catchRefusal(() => test.errand.dispatch(nothing, 1))).toMatchObject({ code: 'E_KEY' })
})

test('a message about a key shows neither the key nor the payload', async () => {
  await using test = testInstance()
  const refusal = await catchRefusal(() => test.errand.dispatch(job, { to: `secret\0` }))
  expect(refusal.message).not.toContain('secret')
})

test('what is no job is refused', async () => {
  await using test = testInstance()
  for (const none of [undefined, { name: 'mail.send' }, 'mail.send']) {
    expect(
      await catchRefusal(() => (test.errand.dispatch as (job: unknown) => Promise<unknown>)(none)),
    ).toMatchObject({
      code: 'E_OPTION',
    })
  }
})
