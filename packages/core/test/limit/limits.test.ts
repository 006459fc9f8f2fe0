import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineLimit, handle } from '../../src/index.ts'
import type { JobHandler } from '../../src/index.ts'
import { fakeContext } from '../../src/testing/fake-context.ts'
import { fakeErrand } from '../../src/testing/fake-errand.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from '../worker/stage.ts'

const minuteMs = 60_000
const mailApi = defineLimit({
  name: 'mail-api',
  key: (p: { tenant: string }) => p.tenant,
  concurrency: { total: 3, perKey: 2 },
})
const send = defineJob({
  name: 'mail.send',
  payload: z.object({ tenant: z.string() }),
  limit: mailApi,
  timeout: '9h',
})

/** Handles `send` until it is told to end, and keeps who runs. */
function mailer(): {
  readonly handler: JobHandler
  readonly running: string[]
  readonly ended: string[]
  end(count?: number): void
} {
  const running: string[] = []
  const ended: string[] = []
  const holds: (() => void)[] = []
  return {
    running,
    ended,
    end: (count = holds.length) => holds.splice(0, count).forEach((resolve) => resolve()),
    handler: handle(send, async ({ tenant }) => {
      const { promise, resolve } = hold()
      running.push(tenant)
      holds.push(resolve)
      await promise
      running.splice(running.indexOf(tenant), 1)
      ended.push(tenant)
    }),
  }
}

describe('limits', () => {
  test('two workers together run no more than the limit says, and the rest follows', async () => {
    await using on = stage()
    const mail = mailer()
    for (let worker = 1; worker <= 2; worker += 1) await on.work({ handlers: [mail.handler], concurrency: 5 })
    await on.errand.dispatchMany(['a', 'a', 'a', 'a', 'b'].map((tenant) => send.with({ tenant })))
    await eventually(() => expect(mail.running.toSorted()).toEqual(['a', 'a', 'b']))
    expect(await on.errand.limits.get('mail-api')).toMatchObject({
      declared: true,
      concurrency: { total: 3, perKey: 2 },
      rate: { total: undefined, perKey: undefined },
      changed: false,
      running: 3,
      waiting: 2,
    })
    mail.end()
    await eventually(() => expect(mail.running).toEqual(['a', 'a']))
    mail.end()
    await eventually(() => expect(mail.ended).toHaveLength(5))
  })

  test('jobs that were dispatched before any worker started go when one declares their limit', async () => {
    await using on = stage()
    const { id } = await on.errand.dispatch(send, { tenant: 'a' })
    expect(await on.errand.jobs.get(id)).toMatchObject({
      state: 'blocked',
      limit: { name: 'mail-api', key: 'a', waits: true },
    })
    expect(await on.errand.limits.list()).toMatchObject([{ name: 'mail-api', declared: false, waiting: 1 }])
    const mail = mailer()
    await on.work({ handlers: [mail.handler] })
    await eventually(() => expect(mail.running).toEqual(['a']))
    expect(await on.errand.jobs.get(id)).toMatchObject({
      limit: { name: 'mail-api', key: 'a', waits: false },
    })
    mail.end()
    await on.until(id, 'succeeded')
    expect(await on.history(id)).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
  })

  test('an operator changes a limit for the whole fleet, and takes the change back', async () => {
    await using on = stage()
    const mail = mailer()
    await on.work({ handlers: [mail.handler] })
    await on.errand.limits.set('mail-api', { concurrency: { total: 1, perKey: null } }, 'ada')
    await on.errand.dispatchMany(['a', 'a', 'a'].map((tenant) => send.with({ tenant })))
    await eventually(() => expect(mail.running).toEqual(['a']))
    await on.errand.limits.set(
      'mail-api',
      { concurrency: { total: null } },
      { by: 'ada', reason: 'all is well' },
    )
    await eventually(() => expect(mail.running).toEqual(['a', 'a', 'a']))
    expect(await on.errand.limits.get('mail-api')).toMatchObject({
      concurrency: { total: undefined, perKey: undefined },
      changed: true,
      acts: [
        { what: 'set', by: 'ada' },
        { what: 'set', by: 'ada', reason: 'all is well' },
      ],
    })
    await on.errand.limits.reset('mail-api', 'ada')
    expect(await on.errand.limits.get('mail-api')).toMatchObject({
      concurrency: { total: 3, perKey: 2 },
      changed: false,
    })
    mail.end()
    await eventually(() => expect(mail.ended).toHaveLength(3))
  })

  test('a change of an operator stays when a newer build declares other values', async () => {
    await using on = stage({ clock: virtualClock() })
    const newer = defineLimit({ name: 'mail-api', key: (p: { tenant: string }) => p.tenant, concurrency: 9 })
    const job = defineJob({ name: 'mail.send', payload: z.object({ tenant: z.string() }), limit: newer })
    await on.work({ handlers: [mailer().handler] })
    await on.errand.limits.set('mail-api', { concurrency: { perKey: 1 } }, 'ada')
    await on.work({ handlers: [handle(job, () => {})] })
    // The older worker lives, and started at the same moment.
    expect(await on.errand.limits.get('mail-api')).toMatchObject({ concurrency: { total: 3, perKey: 1 } })
  })

  test('of two builds the one whose worker started last applies, and the older one does not take it back', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const newer = defineLimit({ name: 'mail-api', key: (p: { tenant: string }) => p.tenant, concurrency: 9 })
    const job = defineJob({ name: 'mail.send', payload: z.object({ tenant: z.string() }), limit: newer })
    await on.work({ handlers: [mailer().handler] })
    await clock.advance(1_000)
    await on.work({ handlers: [handle(job, () => {})] })
    expect(await on.errand.limits.get('mail-api')).toMatchObject({ concurrency: { total: 9 } })
    await clock.advance(5 * minuteMs)
    expect(await on.errand.limits.get('mail-api')).toMatchObject({ concurrency: { total: 9 } })
  })

  test('a handler that met a 429 closes its key, and the other keys go on', async () => {
    await using on = stage()
    const done: string[] = []
    let refused = false
    const handler = handle(send, async ({ tenant }, ctx) => {
      if (tenant === 'a' && !refused) {
        refused = true
        await ctx.limit?.close('1h', 'the API asks us to wait')
        return ctx.snooze('10ms')
      }
      done.push(tenant)
      return undefined
    })
    await on.work({ handlers: [handler] })
    const { id } = await on.errand.dispatch(send, { tenant: 'a' })
    await on.until(id, 'due')
    await on.errand.dispatchMany(['a', 'b'].map((tenant) => send.with({ tenant })))
    await eventually(() => expect(done).toEqual(['b']))
    const [key] = await on.errand.limits.keys('mail-api', { key: 'a' })
    expect(key).toMatchObject({
      key: 'a',
      waiting: 2,
      closed: { by: expect.stringContaining(id) as string, reason: 'the API asks us to wait' },
    })
    await on.errand.limits.open('mail-api', { key: 'a' }, 'ada')
    await eventually(() => expect(done).toEqual(['b', 'a', 'a']))
  })

  test('a limit that is closed as a whole starts nothing until its time, by itself', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const mail = mailer()
    await on.work({ handlers: [mail.handler] })
    await on.errand.limits.close('mail-api', { for: '10m' }, { by: 'ada', reason: 'maintenance' })
    await on.errand.dispatch(send, { tenant: 'a' })
    await clock.advance(9 * minuteMs)
    expect(mail.running).toEqual([])
    expect(await on.errand.limits.list()).toMatchObject([
      { closed: { by: 'ada', reason: 'maintenance' }, acts: [{ what: 'closed', by: 'ada' }] },
    ])
    await clock.advance(2 * minuteMs)
    await eventually(() => expect(mail.running).toEqual(['a']))
    mail.end()
  })

  test('a rate lets jobs start one after another, and a delayed one waits for its turn', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const slow = defineLimit({ name: 'slow', rate: { max: 6, per: '1m', burst: 1 } })
    const job = defineJob({ name: 'slow.job', limit: slow })
    const starts: number[] = []
    await on.work({ handlers: [handle(job, () => void starts.push(clock.now()))] })
    const since = clock.now()
    await on.errand.dispatchMany([1, 2, 3].map(() => job.with()))
    for (let second = 0; second < 40; second += 1) await clock.advance(1_000)
    await eventually(() => expect(starts).toHaveLength(3))
    const gaps = starts.map((at, index) => at - (starts[index - 1] ?? since))
    expect(gaps[0]).toBeLessThan(2_000)
    for (const gap of gaps.slice(1)) expect(gap).toBeGreaterThan(8_000)
  })

  test('wrong keys and options are refused where they are given', async () => {
    await using on = stage()
    const plain = defineJob({ name: 'plain' })
    const refuse = async (call: () => Promise<unknown>): Promise<unknown> =>
      call().catch((error: unknown) => error)
    expect(await refuse(() => on.errand.dispatch(send, { tenant: '' }))).toMatchObject({ code: 'E_KEY' })
    expect(await refuse(() => on.errand.dispatch(send, { tenant: 'x'.repeat(600) }))).toMatchObject({
      code: 'E_KEY',
    })
    expect(await refuse(() => on.errand.dispatch(plain, undefined, { limitKey: 'a' }))).toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('it has no limit') as string,
    })
    await on.work({ handlers: [mailer().handler] })
    const { limits } = on.errand
    for (const [call, code] of [
      [() => limits.set('mail-api', { concurrency: 0 }, 'ada'), 'E_LIMIT'],
      [() => limits.set('mail-api', {}, 'ada'), 'E_OPTION'],
      [() => limits.set('nobody', { concurrency: 1 }, 'ada'), 'E_NOT_FOUND'],
      [() => limits.reset('nobody', 'ada'), 'E_NOT_FOUND'],
      [() => limits.close('nobody', { for: '1m' }, 'ada'), 'E_NOT_FOUND'],
      [() => limits.close('mail-api', { for: 0 }, 'ada'), 'E_DURATION'],
      [() => limits.close('mail-api', { for: '1m', key: '' }, 'ada'), 'E_KEY'],
      [() => limits.get('no such name'), 'E_NAME'],
    ] as const)
      expect(await refuse(call)).toMatchObject({ code })
    expect(await limits.get('nobody')).toBeUndefined()
    expect(await limits.keys('nobody')).toEqual([])
    expect(await limits.remove('nobody')).toBe(false)
  })

  test('the key of a dispatch stands in place of the one of the payload', async () => {
    await using on = stage()
    const { id } = await on.errand.dispatch(send, { tenant: 'a' }, { limitKey: 'vip' })
    expect(await on.errand.jobs.get(id)).toMatchObject({ limit: { key: 'vip' } })
  })

  test('fakeErrand keeps limits too, and fakeContext says how a handler closed its own', async () => {
    using fake = fakeErrand()
    const seen: string[] = []
    await fake.errand.dispatchMany(['a', 'a', 'a', 'b'].map((tenant) => send.with({ tenant })))
    await fake.run({ handlers: [handle(send, ({ tenant }) => void seen.push(tenant))] })
    expect(seen.toSorted()).toEqual(['a', 'a', 'a', 'b'])

    const ctx = fakeContext(send)
    expect(ctx.limit?.name).toBe('mail-api')
    await ctx.limit?.close('30s', 'busy')
    expect(ctx.limitClosed).toEqual([{ forMs: 30_000, reason: 'busy' }])
    expect(fakeContext(defineJob({ name: 'plain' })).limit).toBeUndefined()
    expect(await ctx.limit?.close('soon' as never).catch((error: unknown) => error)).toMatchObject({
      code: 'E_DURATION',
    })
  })
})
