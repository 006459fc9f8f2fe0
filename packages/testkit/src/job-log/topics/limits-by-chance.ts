import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Claim, EventRecord, LimitValues, NewJob, Rate, WorkerRef } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import { seeded } from '../../seeded.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const places: LimitValues = { total: 4, perKey: 2 }
// Apart: the slower one would hide that the other is not kept.
const inAll: Rate = { everyMs: 20, burst: 4 }
const ofKey: Rate = { everyMs: 50, burst: 2 }

export function describeLimitsByChance(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { advance } = harness.capabilities

  describe('limits by chance', () => {
    it.each([1, 2, 3])('no place is given twice, whatever jobs and workers do (seed %i)', async (seed) => {
      const on = await scene()
      await live(on, await on.worker(), places, { random: seeded(seed), outages: advance })
    })

    it.each([1, 2, 3])('in no time more go than the rate and two bursts (seed %i)', async (seed) => {
      const on = await scene()
      const given = { random: seeded(seed), outages: advance }
      const jobs = await live(on, await on.worker(), { rate: inAll }, given)
      expectBound(await Promise.all(jobs.map(({ id }) => on.events(id))), inAll)
    })

    it.each([1, 2, 3])('in no time more of a key go than its rate and two bursts (seed %i)', async (seed) => {
      const on = await scene()
      const given = { random: seeded(seed), outages: advance }
      const jobs = await live(on, await on.worker(), { keyRate: ofKey }, given)
      for (const key of keys) {
        const ofThisKey = jobs.filter(({ limit }) => limit!.key === key)
        expectBound(await Promise.all(ofThisKey.map(({ id }) => on.events(id))), ofKey)
      }
    })
  })
}

const keys = ['a', 'b', 'c'] as const

/** Starts that come after a job was given back or lost pay nothing. */
function expectBound(histories: readonly (readonly EventRecord[])[], { everyMs, burst }: Rate): void {
  const isPaid = (events: readonly EventRecord[], at: number): boolean => events[at - 1]?.type === 'unblocked'
  for (const type of ['unblocked', 'started'] as const) {
    const times = histories
      .flatMap((events) =>
        events.filter((event, at) => event.type === type && (type === 'unblocked' || isPaid(events, at))),
      )
      .map(({ at }) => at)
      .toSorted((a, b) => a - b)
    times.forEach((from, first) =>
      times.slice(first).forEach((to, more) => {
        expect(more + 1, `${type} from ${from} to ${to}`).toBeLessThanOrEqual(
          // Moments are told in whole milliseconds.
          (to - from + 1) / everyMs + 2 * burst,
        )
      }),
    )
  }
}

/** Jobs of a limit come, run, end in all ways, and are held up. Resolves with all of them once they have ended. */
async function live(
  on: Scene,
  worker: WorkerRef,
  values: LimitValues,
  { random, outages }: { readonly random: () => number; readonly outages: boolean },
): Promise<readonly NewJob[]> {
  const name = `limit-${randomBytes(5).toString('hex')}`
  await on.log.saveLimits([{ name, after: 0, to: { values, body: '{}' } }])
  const jobs: NewJob[] = []
  const running: Claim[] = []
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!

  const take = async (): Promise<void> => void running.push(...(await on.take(worker, 1 + pick([0, 1, 4]))))
  const settle = async (outcome: Parameters<Scene['settle']>[2]): Promise<void> => {
    const [claim] = running.splice(Math.floor(random() * running.length), 1)
    if (claim) await on.settle(worker, claim, outcome)
  }
  const acts: readonly (() => Promise<unknown>)[] = [
    async () => {
      const made = Array.from({ length: pick([1, 2, 5]) }, () => ({ limit: { name, key: pick(keys) } }))
      jobs.push(...(await on.addAll(made)))
    },
    take,
    () => settle(outcomes.succeed()),
    () => settle(pick([outcomes.retry(0), outcomes.snooze(5), outcomes.release(true), outcomes.fail()])),
    () => on.sweep(),
    () => on.pass(pick([1, 5, 20])),
    // Nobody takes anything for a while, but sweeps go on.
    async () => {
      const sweeps = outages ? 10 : 0
      for (let swept = 0; swept < sweeps; swept += 1) {
        await on.pass(100)
        await on.sweep()
      }
    },
  ]
  for (let step = 0; step < 80; step += 1) {
    await pick(acts)()
    await expectPlaces(on, jobs, values)
  }
  for (let ended = 0; ended < jobs.length;) {
    await on.sweep()
    await take()
    while (running.length > 0) await settle(outcomes.succeed())
    await expectPlaces(on, jobs, values)
    await on.pass(10)
    ended = (await on.states(jobs)).filter((state) => state === 'succeeded' || state === 'failed').length
  }
  return jobs
}

async function expectPlaces(
  on: Scene,
  jobs: readonly NewJob[],
  { total = Infinity, perKey = Infinity }: LimitValues,
): Promise<void> {
  const states = await on.states(jobs)
  const held = jobs.filter((_, at) => states[at] === 'ready' || states[at] === 'running')
  expect(held.length).toBeLessThanOrEqual(total)
  for (const key of keys)
    expect(held.filter(({ limit }) => limit!.key === key).length).toBeLessThanOrEqual(perKey)
}
