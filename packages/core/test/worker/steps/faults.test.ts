import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, defineMessage, defineWorker, ErrandError, fixed, handle } from '../../../src/index.ts'
import type { Context, Middleware } from '../../../src/index.ts'
import type { Remembered } from '../../../src/ports/memory.ts'
import type { JobLog } from '../../../src/ports/job-log.ts'
import { fakeErrand, virtualClock } from '../../../src/testing.ts'
import { eventually, hold, stage } from '../stage.ts'

const job = defineJob({ name: 'order', retry: { attempts: 3, backoff: fixed(0) } })
const away = (): ErrandError => new ErrandError('E_LOG_UNREACHABLE', 'the log is away')

/** A log of which `remember` does this first, call by call. */
function remembering(
  ...faults: ((ask: () => Promise<readonly Remembered[]>) => Promise<readonly Remembered[]>)[]
) {
  return (log: JobLog): JobLog => ({
    ...log,
    remember: (steps, by) => {
      const ask = (): Promise<readonly Remembered[]> => log.remember(steps, by)
      return faults.shift()?.(ask) ?? ask()
    },
  })
}

async function acts(
  wrap: (log: JobLog) => JobLog,
): Promise<{ acts: number; got: unknown[]; history: readonly string[] }> {
  await using on = stage({ wrap })
  let count = 0
  const got: unknown[] = []
  await on.work({
    handlers: [handle(job, async (_, ctx) => void got.push(await ctx.step('act', () => (count += 1))))],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  return { acts: count, got, history: await on.history(id) }
}

test('a log that is away for a while repeats no step', async () => {
  const gone = async (): Promise<never> => {
    throw away()
  }
  expect(await acts(remembering(gone, gone))).toEqual({
    acts: 1,
    got: [1],
    history: ['dispatched', 'started', 'succeeded'],
  })
})

test('a step whose answer was lost is asked for again, and is there', async () => {
  const lost = async (ask: () => Promise<unknown>): Promise<never> => {
    await ask()
    throw away()
  }
  expect(await acts(remembering(lost))).toMatchObject({ acts: 1, got: [1] })
})

test('a step whose row is locked is offered again in a moment', async () => {
  const again = async (): Promise<readonly Remembered[]> => ['again']
  expect(await acts(remembering(again, again))).toMatchObject({ acts: 1, got: [1] })
})

test('of steps that go together, one that the log refuses fails alone', async () => {
  const broken: string[] = []
  await using on = stage({
    wrap: (log) => ({
      ...log,
      remember: async (steps, by) => {
        if (steps.some(({ name }) => name === 'bad')) throw new ErrandError('E_LOG', 'no such text')
        return log.remember(steps, by)
      },
    }),
  })
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        const bad = ctx.step('bad', () => 1).catch((error: ErrandError) => broken.push(error.code))
        await Promise.all([bad, ctx.step('good', () => 2)])
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(broken).toEqual(['E_LOG'])
  expect((await on.log.memory(id)).steps).toMatchObject([{ name: 'good' }])
})

test('once the claim is lost no call settles: no catch and no finally around it runs, and the slot is free', async () => {
  const told: string[] = []
  const lost = async (): Promise<readonly Remembered[]> => ['claim-lost']
  const middleware: Middleware = async (_, next) => {
    try {
      return await next()
    } catch (error) {
      told.push(`middleware ${(error as ErrandError).code}`)
      throw error
    }
  }
  await using on = stage({ wrap: remembering(lost) })
  await on.work({
    concurrency: 1,
    middleware: [middleware],
    handlers: [
      handle(job, async (_, ctx) => {
        try {
          await ctx.step('act', () => told.push(`act ${ctx.run}`))
          told.push(`after ${ctx.run}`)
        } catch {
          told.push(`catch ${ctx.run}`)
        } finally {
          told.push(`finally ${ctx.run}`)
        }
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
  expect(told).toEqual(['act 1', 'middleware E_CLAIM_LOST', 'act 2', 'after 2', 'finally 2'])
})

test('a handler that only waits when its claim is lost is left behind too', async () => {
  const clock = virtualClock()
  const told: string[] = []
  let isHidden = false
  await using on = stage({
    clock,
    wrap: (log) => ({
      ...log,
      beat: async (by, report) => {
        const reply = await log.beat(by, report)
        return isHidden ? { ...reply, claims: [] } : reply
      },
    }),
  })
  const { id, worker } = await on.begin(job, async (ctx) => {
    try {
      await ctx.sleep('nap', '1d')
    } finally {
      told.push('finally')
    }
  })
  await clock.advance(1)
  isHidden = true
  await on.errand.jobs.cancel(id, { by: 'tester' })
  await eventually(() => expect(worker.health().running).toBe(0))
  expect(told).toEqual([])
  expect(await on.history(id)).not.toContain('suspended')
})

test('code that was left behind dispatches nothing', async () => {
  const child = defineJob({ name: 'child' })
  const raw = hold()
  using fake = fakeErrand()
  const worker = defineWorker({
    handlers: [
      handle(child, () => undefined),
      handle(job, async (_, ctx) => {
        const beside = async (): Promise<void> => {
          await raw.promise
          await ctx.dispatch(child)
        }
        await Promise.all([ctx.sleep('nap', '1d'), beside()])
      }),
    ],
  })
  await fake.errand.dispatch(job)
  await fake.run(worker)
  raw.resolve()
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(fake.dispatched(child)).toEqual([])
})

test('a step that outlives the timeout of its run is remembered, and the run is an error', async () => {
  const brief = defineJob({ name: 'brief', timeout: 50, retry: { attempts: 2, backoff: fixed(0) } })
  await using on = stage()
  const runs: number[] = []
  await on.work({
    handlers: [
      handle(brief, async (_, ctx) => {
        await ctx.step('slow', async () => {
          runs.push(ctx.run)
          await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
        })
      }),
    ],
  })
  const { id } = await on.errand.dispatch(brief)
  await on.until(id, 'succeeded')
  expect(runs).toEqual([1])
  expect(await on.history(id)).toContain('errored')
})

interface Version {
  readonly version: number | undefined
  readonly run: (ctx: Context) => unknown
}

function workerOf({ version, run }: Version, before: () => void = () => undefined) {
  return defineWorker({
    before,
    handlers: [handle(job, (_, ctx) => run(ctx), version === undefined ? {} : { memoryVersion: version })],
  })
}

test('an older worker leaves a newer memory alone: nothing of it begins, and no attempt counts', async () => {
  using fake = fakeErrand()
  const told: string[] = []
  const newer = workerOf({
    version: 2,
    run: async (ctx) => {
      await ctx.step('act', () => told.push('new'))
      if (ctx.run === 1) throw new Error('once')
      told.push(`end ${ctx.attempt}`)
    },
  })
  const older = workerOf(
    {
      version: 1,
      run: async (ctx) => {
        told.push('old')
        await ctx.step('act', () => told.push('old act'))
      },
    },
    () => void told.push('before'),
  )
  const { id } = await fake.errand.dispatch(job)
  await runOnce(fake, newer)
  await fake.run(older)
  expect(told).toEqual(['new'])
  const history = await fake.errand.events.of(id)
  expect(history.at(-1)).toMatchObject({ type: 'snoozed' })
  await fake.advance('30s')
  await fake.run(newer)
  expect(told).toEqual(['new', 'end 2'])
})

test('a handler without a version stops at its first step, where a newer one has remembered something', async () => {
  using fake = fakeErrand()
  const told: string[] = []
  const newer = workerOf({
    version: 1,
    run: async (ctx) => {
      await ctx.step('act', () => told.push('new'))
      if (ctx.run === 1) throw new Error('once')
    },
  })
  const older = workerOf({
    version: undefined,
    run: async (ctx) => {
      try {
        await ctx.step('other', () => told.push('old act'))
      } finally {
        told.push('finally')
      }
    },
  })
  const { id } = await fake.errand.dispatch(job)
  await runOnce(fake, newer)
  await fake.run(older)
  expect(told).toEqual(['new'])
  expect((await fake.errand.events.of(id)).at(-1)).toMatchObject({ type: 'snoozed' })
  await fake.advance('30s')
  await fake.run(newer)
  expect(await fake.errand.jobs.get(id)).toMatchObject({ state: 'succeeded' })
})

/** One run of a worker, so that another may take the next one. */
async function runOnce(
  fake: ReturnType<typeof fakeErrand>,
  worker: ReturnType<typeof workerOf>,
): Promise<void> {
  const once = fake.errand.work(worker, { signals: false, maxJobs: 1 })
  await once.finished
}

test('what steps return and messages hold is encrypted, and bound to its place', async () => {
  const approved = defineMessage({ name: 'approved', payload: z.object({ by: z.string() }) })
  const key = randomBytes(32).toString('base64')
  await using on = stage({ encrypt: { keys: [key] } })
  const got: unknown[] = []
  await on.work({
    handlers: [
      handle(job, async (_, ctx) => {
        const secret = await ctx.step('secret', () => 'hidden-result')
        const { by } = await ctx.receive('approval', approved)
        got.push(secret, by)
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.errand.jobs.send(id, approved, { by: 'hidden-name' })
  await eventually(() => expect(got).toEqual(['hidden-result', 'hidden-name']))
  expect(JSON.stringify(await on.log.memory(id))).not.toContain('hidden')
  expect((await on.errand.jobs.memory(id)).steps).toMatchObject([
    { name: 'secret', result: 'hidden-result' },
    { name: 'approval', kind: 'message', on: 'approved', by: 'message', result: { by: 'hidden-name' } },
  ])
})
