import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineMessage, defineWorker, fixed, handle } from '../../../src/index.ts'
import type { Context, Middleware } from '../../../src/index.ts'
import { fakeErrand } from '../../../src/testing.ts'
import { virtualClock } from '../../../src/testing/virtual-clock.ts'
import { suspendAfterMs } from '../../../src/worker/steps/waiting.ts'
import { eventually, hold, stage } from '../stage.ts'

const job = defineJob({ name: 'order', retry: { attempts: 2, backoff: fixed('1s') } })
const approved = defineMessage({ name: 'order.approved', payload: z.object({ by: z.string() }) })

/** Runs a job in a fake fleet; `told` is what its handler tells, run by run. */
function story(run: (ctx: Context, tell: (line: string) => void) => unknown, middleware: Middleware[] = []) {
  const fake = fakeErrand()
  const told: string[] = []
  const ended: string[] = []
  const worker = defineWorker({
    middleware,
    after: (attempt) => void ended.push(attempt.outcome),
    handlers: [handle(job, (_, ctx) => run(ctx, (line) => told.push(line)))],
  })
  return {
    fake,
    told,
    ended,
    run: () => fake.run(worker),
    begin: async () => {
      const { id } = await fake.errand.dispatch(job)
      await fake.run(worker)
      return id
    },
    state: async (id: string) => (await fake.errand.jobs.get(id))?.state,
    [Symbol.dispose]: () => fake[Symbol.dispose](),
  }
}

test('a job sleeps fourteen days in a moment, and goes on behind its sleep', async () => {
  using on = story(async (ctx, tell) => {
    await ctx.step('charge', () => tell('charge'))
    await ctx.sleep('cool-off', '14d')
    tell('awake')
  })
  const id = await on.begin()
  expect(await on.state(id)).toBe('suspended')
  await on.fake.advance('13d')
  await on.run()
  expect(on.told).toEqual(['charge'])
  await on.fake.advance('1d')
  await on.run()
  expect(on.told).toEqual(['charge', 'awake'])
  expect(await on.state(id)).toBe('succeeded')
  expect(on.ended).toEqual(['suspended', 'succeeded'])
})

test('the end of a sleep is fixed at its first call: a retry in between does not move it', async () => {
  using on = story(async (ctx, tell) => {
    const nap = ctx.sleep('nap', ctx.run === 1 ? '10d' : '99d')
    await Promise.race([nap, ctx.sleep('look', '5d')])
    if (ctx.run === 2) throw new Error('fails once')
    await nap
    tell('awake')
  })
  const id = await on.begin()
  await on.fake.advance('5d')
  await on.run()
  await on.fake.advance('1s')
  await on.run()
  expect(await on.state(id)).toBe('suspended')
  await on.fake.advance('4d')
  await on.run()
  expect(on.told).toEqual([])
  await on.fake.advance('1d')
  await on.run()
  expect(on.told).toEqual(['awake'])
})

test('a sleep until a moment ends then', async () => {
  const until = new Date(Date.now() + 86_400_000)
  using on = story(async (ctx) => ctx.sleep('until', { until }))
  const id = await on.begin()
  expect((await on.fake.errand.jobs.memory(id)).waits).toMatchObject([
    { name: 'until', kind: 'sleep', until },
  ])
  await on.fake.advance('25h')
  await on.run()
  expect(await on.state(id)).toBe('succeeded')
})

test('catch and finally around a wait run only after it, and raw code beside it is left behind', async () => {
  const raw = hold()
  using on = story(async (ctx, tell) => {
    try {
      const beside = async (): Promise<void> => {
        if (ctx.run === 1) await raw.promise
        tell(`raw ${ctx.run}`)
        await ctx.step('beside', () => tell('beside'))
        tell('behind')
      }
      await Promise.all([ctx.sleep('nap', '1d'), beside()])
      tell('awake')
      throw new Error('refund')
    } catch {
      tell(`catch ${ctx.run}`)
    } finally {
      tell(`finally ${ctx.run}`)
    }
  })
  await on.begin()
  raw.resolve()
  await new Promise((resolve) => setImmediate(resolve))
  // The raw work goes on, but no call of the context settles for it.
  expect(on.told).toEqual(['raw 1'])
  await on.fake.advance('1d')
  await on.run()
  expect(on.told).toEqual(['raw 1', 'raw 2', 'beside', 'behind', 'awake', 'catch 2', 'finally 2'])
})

test('a signal is not aborted by a suspension', async () => {
  let signal: AbortSignal | undefined
  using on = story(async (ctx) => {
    signal = ctx.signal
    await ctx.sleep('nap', '1d')
  })
  await on.begin()
  expect(signal?.aborted).toBe(false)
})

test('a wait that is begun and not awaited lets the handler work first', async () => {
  using on = story(async (ctx, tell) => {
    const nap = ctx.sleep('nap', '1d')
    await new Promise((resolve) => setTimeout(resolve, 40))
    tell(`worked ${ctx.run}`)
    await nap
    tell('awake')
  })
  await on.begin()
  expect(on.told).toEqual(['worked 1'])
  await on.fake.advance('1d')
  await on.run()
  expect(on.told).toEqual(['worked 1', 'worked 2', 'awake'])
})

test('a message resumes the job that waits for it, with its payload', async () => {
  using on = story(async (ctx, tell) => {
    const ok = await ctx.receive('approval', approved, { timeout: '3d' })
    tell(ok ? `by ${ok.by}` : 'nobody')
  })
  const id = await on.begin()
  expect(await on.fake.errand.jobs.send(id, approved, { by: 'ada' })).toMatchObject({ status: 'sent' })
  await on.run()
  expect(on.told).toEqual(['by ada'])
  expect(await on.state(id)).toBe('succeeded')
})

test('a message that came before the wait is not lost, and nobody gets one twice', async () => {
  using on = story(async (ctx, tell) => {
    tell((await ctx.receive('first', approved)).by)
    tell((await ctx.receive('second', approved)).by)
  })
  const { id } = await on.fake.errand.dispatch(job)
  const own = { id: '0190b5a0-0000-4000-8000-000000000001' }
  await on.fake.errand.jobs.send(id, approved, { by: 'ada' }, own)
  expect(await on.fake.errand.jobs.send(id, approved, { by: 'eve' }, own)).toMatchObject({
    status: 'duplicate',
  })
  await on.run()
  expect(on.told).toEqual(['ada'])
  await on.fake.errand.jobs.send(id, approved, { by: 'bob' })
  await on.run()
  expect(on.told).toEqual(['ada', 'ada', 'bob'])
  expect(await on.state(id)).toBe('succeeded')
})

test('a wait for a message is undefined when its time is over', async () => {
  using on = story(async (ctx, tell) => {
    const ok = await ctx.receive('approval', approved, { timeout: '3d' })
    tell(ok === undefined ? 'nobody' : ok.by)
  })
  await on.begin()
  await on.fake.advance('3d')
  await on.run()
  expect(on.told).toEqual(['nobody'])
})

test('a message without a payload gives true', async () => {
  const go = defineMessage({ name: 'go' })
  using on = story(async (ctx, tell) => tell(String(await ctx.receive('go', go, { timeout: '1d' }))))
  const id = await on.begin()
  await on.fake.errand.jobs.send(id, go)
  await on.run()
  expect(on.told).toEqual(['true'])
})

test('a race of a wait and a sleep ends the same way in every run', async () => {
  using on = story(async (ctx, tell) => {
    const first = await Promise.race([
      ctx.receive('approval', approved).then(() => 'ship'),
      ctx.sleep('patience', '1d').then(() => 'escalate'),
    ])
    await ctx.step(first, () => tell(`${first} ${ctx.run}`))
    if (first === 'escalate') tell(`second by ${(await ctx.receive('second', approved)).by}`)
    await ctx.sleep('end', '1d')
  })
  const id = await on.begin()
  await on.fake.advance('1d')
  await on.run()
  expect(on.told).toEqual(['escalate 2'])
  await on.fake.errand.jobs.send(id, approved, { by: 'ada' })
  await on.run()
  expect(on.told).toEqual(['escalate 2', 'second by ada'])
  await on.fake.errand.jobs.send(id, approved, { by: 'late' })
  await on.run()
  await on.fake.advance('1d')
  await on.run()
  expect(on.told.filter((line) => line.startsWith('ship'))).toEqual([])
  expect(await on.state(id)).toBe('succeeded')
})

test('of two sleeps, the one that ended first wins in every later run', async () => {
  using on = story(async (ctx, tell) => {
    const first = await Promise.race([
      ctx.sleep('long', '2d').then(() => 'long'),
      ctx.sleep('short', '1d').then(() => 'short'),
    ])
    tell(first)
    await ctx.sleep('end', '5d')
  })
  await on.begin()
  for (const days of ['1d', '1d', '5d'] as const) {
    await on.fake.advance(days)
    await on.run()
  }
  expect(on.told).toEqual(['short', 'short', 'short'])
})

test('a step that ends only in a later run comes after what was remembered before', async () => {
  using on = story(async (ctx, tell) => {
    const first = await Promise.race([
      ctx.step('slow', () => (ctx.run === 1 ? new Promise<string>(() => undefined) : 'slow')),
      ctx.step('quick', () => 'quick'),
    ])
    tell(first)
    if (ctx.run === 1) throw new Error('again')
  })
  await on.begin()
  await on.fake.advance('1s')
  await on.run()
  expect(on.told).toEqual(['quick', 'quick'])
})

test('middleware ends at each suspension, and sees it; next() of a later run is another', async () => {
  const seen: string[] = []
  const tracing: Middleware = async (ctx, next) => {
    seen.push(`open ${ctx.run}`)
    try {
      const value = await next()
      seen.push(value === ctx.suspended ? 'suspended' : String(value))
      return value
    } finally {
      seen.push('closed')
    }
  }
  const swallowing: Middleware = async (_, next) => {
    await next()
    return undefined
  }
  using on = story(async (ctx) => ctx.sleep('nap', '1d'), [swallowing, tracing])
  const id = await on.begin()
  expect(seen).toEqual(['open 1', 'suspended', 'closed'])
  // A middleware that returns nothing has not ended the job.
  expect(await on.state(id)).toBe('suspended')
  await on.fake.advance('1d')
  await on.run()
  expect(seen).toEqual(['open 1', 'suspended', 'closed', 'open 2', 'undefined', 'closed'])
  expect(await on.state(id)).toBe('succeeded')
})

test('a job that is resumed has all its attempts again, and a suspension costs none', async () => {
  using on = story(async (ctx, tell) => {
    await ctx.sleep('a', '1d')
    tell(`${ctx.attempt}/${ctx.run}`)
    if (ctx.run === 2) throw new Error('once')
    await ctx.sleep('b', '1d')
    tell(`b ${ctx.attempt}/${ctx.run}`)
    if (ctx.run === 4) throw new Error('once')
  })
  const id = await on.begin()
  await on.fake.advance('1d')
  await on.run()
  await on.fake.advance('1s')
  await on.run()
  await on.fake.advance('1d')
  await on.run()
  await on.fake.advance('1s')
  await on.run()
  expect(on.told).toEqual(['1/2', '2/3', '1/4', 'b 1/4', '2/5', 'b 2/5'])
  expect(await on.state(id)).toBe('succeeded')
})

test('a suspended job can be cancelled at once', async () => {
  using on = story(async (ctx) => ctx.sleep('nap', '14d'))
  const id = await on.begin()
  expect(await on.fake.errand.jobs.cancel(id, { by: 'tester' })).toBe(1)
  expect(await on.state(id)).toBe('cancelled')
})

test('a message to a job that has ended, or is not there, is refused', async () => {
  using on = story(() => undefined)
  const id = await on.begin()
  const { jobs } = on.fake.errand
  await expect(jobs.send(id, approved, { by: 'ada' })).rejects.toMatchObject({ code: 'E_MESSAGE', ids: [id] })
  const nobody = '0190b5a0-0000-4000-8000-00000000000a'
  await expect(jobs.send(nobody, approved, { by: 'ada' })).rejects.toMatchObject({ code: 'E_MESSAGE' })
  await expect(jobs.send(id, approved, { by: 1 } as never)).rejects.toMatchObject({
    code: 'E_PAYLOAD_INVALID',
  })
})

test('a short sleep stays in its slot, and is remembered', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const asleep = hold()
  const awake: number[] = []
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        const sleeping = ctx.sleep('blink', '900ms')
        asleep.resolve()
        await sleeping
        awake.push(ctx.run)
        if (ctx.run === 1) throw new Error('again')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await asleep.promise
  await clock.advance(900)
  await eventually(() => expect(awake).toEqual([1]))
  expect(await on.history(id)).not.toContain('suspended')
  await eventually(async () => {
    await clock.advance(1_000)
    expect(await on.history(id)).toContain('succeeded')
  })
  expect((await on.log.memory(id)).steps).toMatchObject([{ name: 'blink', kind: 'step', run: 1 }])
})

test('a worker holds no slot for a job that sleeps, and takes it up when its time has come', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const asleep = hold()
  const done: string[] = []
  const other = defineJob({ name: 'other' })
  const worker = await on.work({
    concurrency: 1,
    handlers: [
      handle(job, async (_, ctx) => {
        asleep.resolve()
        await ctx.sleep('nap', '1h')
        done.push('awake')
      }),
      handle(other, () => void done.push('other')),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await asleep.promise
  const beganMs = clock.now()
  await clock.advance(suspendAfterMs)
  await on.until(id, 'suspended')
  // The hour counts from the call.
  expect((await on.log.memory(id)).steps).toMatchObject([{ name: 'nap', until: beganMs + 3_600_000 }])
  await eventually(() => expect(worker.health()).toMatchObject({ running: 0, ended: { suspended: 1 } }))
  await on.errand.dispatch(other)
  await eventually(() => expect(done).toEqual(['other']))
  await eventually(async () => {
    await clock.advance(600_000)
    expect(done).toEqual(['other', 'awake'])
  })
})

test('a worker that stops suspends what only waits at once, and lets a step end first', async () => {
  await using on = stage()
  const begun = hold()
  const step = hold()
  const { id, worker } = await on.begin(job, async (ctx) => {
    const nap = ctx.sleep('nap', '1d')
    await Promise.all([
      nap,
      ctx.step('a', () => {
        begun.resolve()
        return step.promise
      }),
    ])
  })
  await begun.promise
  const stopped = worker.stop()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await on.history(id)).not.toContain('suspended')
  step.resolve()
  await stopped
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'suspended'])
  expect((await on.log.memory(id)).steps).toMatchObject([{ name: 'a', order: 1 }, { name: 'nap' }])
})
