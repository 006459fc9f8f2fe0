import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, fixed, handle, PermanentError } from '../../src/index.ts'
import { systemClock } from '../../src/ports/system-clock.ts'
import { aborted, eventually, hold, stage } from './stage.ts'
import type { Stage } from './stage.ts'

const secret = '4111-1111'
const pay = defineJob({
  name: 'pay',
  payload: z.object({ card: z.string() }),
  retry: { attempts: 2, backoff: fixed(0) },
})

/** The lines of a job at the level that is the default, or above: `level message`, and their fields. */
const pickLines = (on: Stage, job: string): readonly { readonly said: string; readonly fields: object }[] =>
  on.lines
    .filter(({ level, fields }) => level !== 'debug' && fields['job'] === job)
    .map(({ level, message, fields }) => ({ said: `${level}: ${message ?? ''}`, fields }))

test('an errored attempt is one warning, a failure for good one error, with id, name, attempt and reason', async () => {
  await using on = stage()
  await on.work({
    handlers: [
      handle(pay, (_, ctx) => {
        const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
        throw new TypeError(`try ${ctx.attempt}`, { cause })
      }),
    ],
  })
  const { id } = await on.errand.dispatch(pay, { card: secret })
  await on.until(id, 'failed')
  await eventually(() => expect(pickLines(on, id)).toHaveLength(2))
  const whole = { job: id, jobName: 'pay', queue: 'default', maxAttempts: 2 }
  const cause = { type: 'Error', code: 'ECONNREFUSED' }
  expect(pickLines(on, id)).toMatchObject([
    {
      said: 'warn: an attempt has failed; the job runs again',
      fields: { ...whole, attempt: 1, err: { type: 'TypeError', message: 'try 1', cause } },
    },
    {
      said: 'error: a job has failed for good',
      fields: { ...whole, attempt: 2, cause: 'error', err: { type: 'TypeError', message: 'try 2', cause } },
    },
  ])
  expect(JSON.stringify(on.lines)).not.toContain(secret)
})

test('a failure at once says one line, and a success none', async () => {
  await using on = stage()
  await on.work({
    handlers: [
      handle(pay, ({ card }) => {
        if (card === 'bad') throw new PermanentError('refused')
      }),
    ],
  })
  const bad = await on.errand.dispatch(pay, { card: 'bad' })
  const good = await on.errand.dispatch(pay, { card: 'good' })
  await on.until(bad.id, 'failed')
  await on.until(good.id, 'succeeded')
  await eventually(() => expect(pickLines(on, bad.id)).toHaveLength(1))
  expect(pickLines(on, bad.id)).toMatchObject([
    { said: 'error: a job has failed for good', fields: { err: { code: 'E_PERMANENT' } } },
  ])
  expect(pickLines(on, good.id)).toEqual([])
})

test('a job that was lost for good is logged by the worker that finds it, though no worker knows its name', async () => {
  await using on = stage()
  const gone = { id: '00000000-0000-4000-8000-00000000dead', host: 'gone', pid: 1, leaseMs: 200, graceMs: 0 }
  const fragile = defineJob({ name: 'fragile', payload: z.object({ card: z.string() }), crashes: 1 })
  const { id } = await on.errand.dispatch(fragile, { card: secret })
  await on.log.beat(gone, { queues: ['default'], taking: true, progress: [] })
  expect(await on.log.take(['default'], 1, gone, crypto.randomUUID())).toHaveLength(1)
  await on.work({ lease: '600ms', handlers: [handle(pay, () => undefined)] })
  await on.until(id, 'failed')
  await eventually(() => expect(pickLines(on, id)).toHaveLength(1))
  expect(pickLines(on, id)).toMatchObject([
    {
      said: 'error: a job has failed for good: its run was lost',
      fields: {
        job: id,
        jobName: 'fragile',
        run: 1,
        attempt: 0,
        cause: 'lost',
        err: { type: 'LostError', code: 'E_LOST' },
      },
    },
  ])
  expect(JSON.stringify(on.lines)).not.toContain(secret)
})

test('a job that nobody here knows is told when it is set aside, not each time, and when it fails', async () => {
  let laterMs = 0
  await using on = stage({ clock: { ...systemClock, now: () => systemClock.now() + laterMs } })
  await on.work({ handlers: [handle(pay, () => undefined)] })
  const { id } = await on.errand.dispatch(defineJob({ name: 'unknown' }))
  await on.until(id, 'snoozed')
  laterMs += 3_600_000
  await eventually(async () =>
    expect((await on.history(id)).filter((type) => type === 'snoozed')).toHaveLength(2),
  )
  laterMs += 86_400_000
  await on.until(id, 'failed')
  await eventually(() => expect(pickLines(on, id)).toHaveLength(2))
  expect(pickLines(on, id)).toMatchObject([
    {
      said: 'warn: a job cannot run in this worker; it waits for one that can',
      fields: { jobName: 'unknown', reason: expect.stringContaining("for 'unknown'") },
    },
    {
      said: 'error: a job has failed for good',
      fields: { cause: 'unknown-job', err: { code: 'E_UNKNOWN_JOB' } },
    },
  ])
})

test('what is given back says why in the log of the worker', async () => {
  await using on = stage()
  const begun = hold()
  const worker = await on.work({
    handlers: [
      handle(pay, async (_, ctx) => {
        begun.resolve()
        await aborted(ctx.signal)
        ctx.signal.throwIfAborted()
      }),
    ],
  })
  const { id } = await on.errand.dispatch(pay, { card: secret })
  await begun.promise
  await worker.stop({ grace: '20ms' })
  expect(pickLines(on, id)).toMatchObject([
    {
      said: 'info: a job was given back: its worker stops',
      fields: { job: id, jobName: 'pay', why: 'shutdown' },
    },
  ])
})
