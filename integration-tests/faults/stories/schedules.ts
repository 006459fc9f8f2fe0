// Ticks of schedules that meet a fault.
import { expect } from 'vitest'
import type { JobDetails, ScheduleInfo, Tick } from '@errand/core'
import { ticked } from '../../fleet/app/jobs.ts'
import { afterCrashMs, afterReturnMs } from '../../fleet/limits.ts'
import { lasts } from '../../fleet/looks.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { present } from '../makers.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { diesAt, newName } from './common.ts'

const by = { by: 'the test' }
const everyMs = 1_000
/** So long after its moment a tick is on time. */
const onTimeMs = 60_000

interface TickedJob {
  readonly at: number
  readonly tick: Tick
  readonly state: JobDetails['state']
}

/** Sets a schedule that every worker of the fleet ticks, and returns its name. */
async function setSchedule(
  { errand }: Fleet,
  options: { readonly missed?: 'last' | 'skip'; readonly until?: Date } = {},
): Promise<string> {
  const name = newName('schedule')
  const payload = { name, at: 0 }
  await errand.schedules.set({ name, job: ticked, every: everyMs, payload, ...options }, by)
  return name
}

async function readSchedule({ errand }: Fleet, name: string): Promise<ScheduleInfo> {
  return present(await errand.schedules.get(name))
}

/** The jobs of its ticks, by their moments. */
async function listTicks({ errand }: Fleet, schedule: string): Promise<readonly TickedJob[]> {
  const found: TickedJob[] = []
  for await (const { tick, state } of errand.jobs.list({ job: ticked }))
    if (tick?.schedule === schedule) found.push({ at: tick.at.getTime(), tick, state })
  return found.toSorted((a, b) => a.at - b.at)
}

/** How many moments it has from when it was set until its end. */
function countMoments({ acts }: ScheduleInfo, endMs: number): number {
  const setAt = present(acts[0]).at.getTime()
  return Math.floor(endMs / everyMs) - Math.floor(setAt / everyMs)
}

export const scheduleStories: readonly Story[] = [
  story('killed in a tick', async (fleet) => {
    const name = await setSchedule(fleet)
    for (const failpoint of ['ticking', 'ticked']) {
      // It dies in the first tick that it does. Four others do the rest.
      const { atMs } = await diesAt(fleet, failpoint)
      const diedAt = performance.timeOrigin + atMs
      const goesOn = async (): Promise<boolean> => {
        const ticks = await listTicks(fleet, name)
        const before = ticks.filter(({ at }) => at <= diedAt)
        return ticks.length > before.length && before.every(({ state }) => state === 'succeeded')
      }
      await fleet.recovers('its ticks have run, and later ones come', afterCrashMs, goesOn, atMs)
    }
    await fleet.errand.schedules.pause(name, by)
    const moments = (await listTicks(fleet, name)).map(({ at }) => at)
    const [first = 0] = moments
    expect(moments).toEqual(moments.map((_, index) => first + index * everyMs))
    expect((await readSchedule(fleet, name)).leftOut).toBe(0)
  }),

  story('database down over ticks', async (fleet) => {
    const endMs = Math.ceil(Date.now() / everyMs) * everyMs + 15_000
    const until = new Date(endMs)
    const last = await setSchedule(fleet, { missed: 'last', until })
    const skip = await setSchedule(fleet, { missed: 'skip', until })
    const postgres = present(fleet.place.server)
    await postgres.kill()
    const diedAt = Date.now()
    expect(diedAt).toBeLessThan(endMs - 2 * everyMs)
    await lasts(endMs - diedAt + onTimeMs + 2 * everyMs)
    await postgres.start()
    const areOver = async (): Promise<boolean> => {
      const both = await Promise.all([last, skip].map((name) => readSchedule(fleet, name)))
      return both.every(({ next }) => next === undefined)
    }
    await fleet.recovers('the missed ticks are run or left out', afterReturnMs, areOver)
    await fleet.takesAgain()

    const [ofLast, ofSkip] = [await listTicks(fleet, last), await listTicks(fleet, skip)]
    const newest = ofLast.at(-1)
    expect(newest?.at).toBe(endMs)
    expect(newest?.tick.missed).toBeGreaterThan(0)
    for (const { at } of [...ofLast.slice(0, -1), ...ofSkip]) expect(at).toBeLessThanOrEqual(diedAt)
    for (const [name, ticks] of [
      [last, ofLast],
      [skip, ofSkip],
    ] as const) {
      const info = await readSchedule(fleet, name)
      expect(ticks.length + info.leftOut, name).toBe(countMoments(info, endMs))
    }
  }),
]
