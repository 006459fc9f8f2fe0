import { expect, test } from 'vitest'
import { defineJob, handle, isErrandError } from '../../src/index.ts'
import { ErrandError } from '../../src/errors.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { aborted, eventually, hold, stage } from './stage.ts'

const work = defineJob({ name: 'work', timeout: '10m' })
const unreachable = (): never => {
  throw new ErrandError('E_LOG_UNREACHABLE', 'the database is down')
}

test('while the log is down a worker stops asking at the end of its lease, runs on, and settles later', async () => {
  const clock = virtualClock()
  let down = false
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    beat: async (...args) => (down ? unreachable() : log.beat(...args)),
    settle: async (...args) => (down ? unreachable() : log.settle(...args)),
    sweep: async (...args) => (down ? unreachable() : log.sweep(...args)),
  })
  await using on = stage({ clock, wrap })
  const go = hold()
  let aborted = false
  const worker = await on.work({
    concurrency: 2,
    handlers: [
      handle(work, async (_, ctx) => {
        await go.promise
        aborted = ctx.signal.aborted
      }),
    ],
  })
  const { id } = await on.errand.dispatch(work)
  await eventually(async () => expect(await on.history(id)).toContain('started'))
  down = true
  await clock.advance(31_000)
  expect(worker.health()).toMatchObject({ taking: false, why: expect.stringContaining('its lease is out') })
  go.resolve()
  await clock.advance(10_000)
  expect(await on.history(id)).toEqual(['dispatched', 'started'])
  const waiting = await on.errand.dispatch(work)
  await clock.advance(1_000)
  expect(await on.history(waiting.id)).toEqual(['dispatched'])
  down = false
  await clock.advance(10_000)
  await on.until(id, 'succeeded')
  await on.until(waiting.id, 'succeeded')
  expect(aborted).toBe(false)
})

test('a run whose claim the log has taken away gets its signal aborted, and its result is fenced', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  let reason: unknown
  const outcomes: string[] = []
  const worker = await on.work({
    handlers: [
      handle(work, async (_, ctx) => {
        if (ctx.run > 1) return
        await aborted(ctx.signal)
        reason = ctx.signal.reason
      }),
    ],
    after: ({ outcome }) => void outcomes.push(outcome),
  })
  const { id } = await on.errand.dispatch(work)
  await eventually(async () => expect(await on.history(id)).toContain('started'))
  // Before one lease has passed since the first sweep nothing is called lost.
  await clock.advance(31_000)
  await on.log.leave({ id: worker.id, host: '', pid: 0, leaseMs: 30_000, graceMs: 0 })
  await on.log.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'lost'])
  await clock.advance(6_000)
  await eventually(() => expect(outcomes).toEqual(['fenced']))
  expect(isErrandError(reason, 'E_CLAIM_LOST')).toBe(true)
  await clock.advance(60_000)
  await eventually(() => expect(outcomes).toEqual(['fenced', 'succeeded']))
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'lost', 'fenced', 'started', 'succeeded'])
})

test('a claim whose grant never arrived is given back after two beats, and runs', async () => {
  const clock = virtualClock()
  let swallow = true
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    async claim(...args) {
      const verdicts = await log.claim(...args)
      if (!swallow || verdicts.every(({ verdict }) => verdict !== 'run')) return verdicts
      swallow = false
      // As if the worker had died between the grant and its answer, and had started again without that answer.
      throw new ErrandError('E_LEASE_OUT', 'the answer was lost')
    },
  })
  await using on = stage({ clock, wrap })
  const runs: number[] = []
  await on.work({ handlers: [handle(work, (_, ctx) => void runs.push(ctx.run))] })
  const { id } = await on.errand.dispatch(work)
  await eventually(async () => expect(await on.history(id)).toEqual(['dispatched', 'started']))
  await clock.advance(15_000)
  await on.until(id, 'succeeded')
  expect(runs).toEqual([2])
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released', 'started', 'succeeded'])
  expect(await on.releases(id)).toEqual(['unheard'])
})

test('a request for jobs whose answer is lost is repeated, and what it was granted runs once', async () => {
  let lost = 0
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    async claim(...args) {
      const verdicts = await log.claim(...args)
      if (lost < 2 && verdicts.some(({ verdict }) => verdict === 'run')) {
        lost += 1
        unreachable()
      }
      return verdicts
    },
  })
  await using on = stage({ wrap })
  const runs: number[] = []
  await on.work({ handlers: [handle(work, (_, ctx) => void runs.push(ctx.run))] })
  const { id } = await on.errand.dispatch(work)
  await on.until(id, 'succeeded')
  expect(lost).toBe(2)
  expect(runs).toEqual([1])
})

test('an outcome whose recording is not answered is offered again, and counts once', async () => {
  let lost = 0
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    async settle(...args) {
      const settled = await log.settle(...args)
      if (lost < 3) {
        lost += 1
        unreachable()
      }
      return settled
    },
  })
  await using on = stage({ wrap })
  const outcomes: string[] = []
  await on.work({
    handlers: [handle(work, () => undefined)],
    after: ({ outcome }) => void outcomes.push(outcome),
  })
  const { id } = await on.errand.dispatch(work)
  await eventually(() => expect(outcomes).toEqual(['succeeded']))
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('a grant that comes when the lease of its worker is out does not begin, and says so as it goes back', async () => {
  const clock = virtualClock()
  let beats = 0
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    async beat(...args) {
      beats += 1
      if (beats > 1) return unreachable()
      // The beat was on its way for five seconds, so the lease ends that much later by the log's clock than by the worker's.
      await clock.sleep(5_000)
      return log.beat(...args)
    },
    async claim(...args) {
      const verdicts = await log.claim(...args)
      await clock.sleep(verdicts.some(({ verdict }) => verdict === 'run') ? 26_000 : 0)
      return verdicts
    },
  })
  await using on = stage({ clock, wrap })
  let runs = 0
  const starting = on.work({ lease: '30s', handlers: [handle(work, () => void (runs += 1))] })
  await eventually(() => expect(beats).toBe(1))
  await clock.advance(5_000)
  await starting
  const { id } = await on.errand.dispatch(work)
  await eventually(async () => expect(await on.history(id)).toEqual(['dispatched', 'started']))
  await clock.advance(26_000)
  await on.until(id, 'released')
  expect(await on.releases(id)).toEqual(['lease-out'])
  expect(runs).toBe(0)
})
