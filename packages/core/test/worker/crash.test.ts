import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import type { Claim } from '../../src/job/claim.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from './stage.ts'

const work = defineJob({ name: 'work', payload: z.object({ n: z.number() }) })
const nobody = { id: '00000000-0000-4000-8000-00000000dead', host: 'gone', pid: 1, leaseMs: 200, graceMs: 0 }

/** The log grants job 0 as one that was lost twice. */
function suspecting(log: JobLog): JobLog {
  const suspect = (claim: Claim): Claim =>
    claim.job.payload.text === '{"n":0}' ? { ...claim, crashes: 2 } : claim
  return {
    ...log,
    take: async (...args) => (await log.take(...args)).map(suspect),
    claim: async (...args) => {
      const verdicts = await log.claim(...args)
      return verdicts.map((each) => (each.verdict === 'run' ? { ...each, claim: suspect(each.claim) } : each))
    },
  }
}

test('a job that was lost twice starts only when nothing else runs, and nothing starts beside it', async () => {
  await using on = stage({ wrap: suspecting })
  const others = hold()
  const alone = hold()
  const running = new Set<number>()
  const together: number[][] = []
  await on.work({
    concurrency: 4,
    handlers: [
      handle(work, async ({ n }) => {
        running.add(n)
        together.push([...running])
        await (n === 0 ? alone : others).promise
        running.delete(n)
      }),
    ],
  })
  const neighbours = await on.errand.dispatchMany([1, 2].map((n) => work.with({ n })))
  await eventually(() => expect(running.size).toBe(2))
  const suspect = await on.errand.dispatch(work, { n: 0 })
  await on.until(suspect.id, 'started')
  const later = await on.errand.dispatch(work, { n: 3 })
  others.resolve()
  await eventually(() => expect([...running]).toEqual([0]))
  expect(await on.history(later.id)).toEqual(['dispatched'])
  alone.resolve()
  for (const { id } of [suspect, ...neighbours, later]) await on.until(id, 'succeeded')
  expect(together.filter((numbers) => numbers.includes(0))).toEqual([[0]])
})

test('two suspects that are granted together run one after the other', async () => {
  await using on = stage({ wrap: suspecting })
  let running = 0
  let most = 0
  const receipts = await on.errand.dispatchMany([0, 0, 0].map((n) => work.with({ n })))
  await on.work({
    handlers: [
      handle(work, async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise((resolve) => setTimeout(resolve, 5))
        running -= 1
      }),
    ],
  })
  for (const { id } of receipts) await on.until(id, 'succeeded')
  expect(most).toBe(1)
})

test('a suspect whose neighbours do not end within thirty seconds is given back', async () => {
  const clock = virtualClock()
  await using on = stage({ clock, wrap: suspecting })
  const others = hold()
  const ran: number[] = []
  await on.work({
    handlers: [
      handle(work, async ({ n }) => {
        if (n > 0) await others.promise
        ran.push(n)
      }),
    ],
  })
  const neighbour = await on.errand.dispatch(work, { n: 1 })
  await on.until(neighbour.id, 'started')
  const suspect = await on.errand.dispatch(work, { n: 0 })
  await on.until(suspect.id, 'started')
  await clock.advance(29_000)
  expect(await on.history(suspect.id)).toEqual(['dispatched', 'started'])
  await clock.advance(2_000)
  expect((await on.history(suspect.id)).slice(0, 3)).toEqual(['dispatched', 'started', 'released'])
  expect((await on.releases(suspect.id))[0]).toBe('not-alone')
  expect(ran).toEqual([])
  others.resolve()
  await on.until(suspect.id, 'succeeded')
  expect(ran).toEqual([1, 0])
})

test('a job that was lost too often fails, and the worker whose relay finds it tells failing and failed', async () => {
  await using on = stage()
  const fragile = defineJob({ name: 'work', payload: z.object({ n: z.number() }), crashes: 1 })
  const told: unknown[] = []
  const { id } = await on.errand.dispatch(fragile, { n: 7 })
  await on.log.beat(nobody, { queues: ['default'], taking: true, progress: [] })
  expect(await on.log.take(['default'], 1, nobody, crypto.randomUUID())).toHaveLength(1)
  await on.work({
    lease: '600ms',
    handlers: [
      handle(fragile, () => undefined, { failed: ({ n }, error) => void told.push([n, error.name]) }),
    ],
    failing: ({ cause, job }) => void told.push([cause, job.payload]),
  })
  await on.until(id, 'failed')
  await eventually(() => {
    expect(told).toEqual([
      ['lost', { n: 7 }],
      [7, 'LostError'],
    ])
  })
})
