import { describe, expect, test } from 'vitest'
import { ticked } from './app/jobs.ts'
import { allEnded, lasts } from './looks.ts'
import { startMember } from './member.ts'
import type { Member } from './member.ts'
import { places, scene } from './shared.ts'

/**
 * `ERRAND_TEST_TICKS=long`: ten workers for two minutes, one of them killed every ten seconds. Otherwise the same in short, which
 * is all that there is time for in each run.
 */
const { workers, seconds, killEveryMs, schedules } =
  process.env['ERRAND_TEST_TICKS'] === 'long'
    ? { workers: 10, seconds: 120, killEveryMs: 10_000, schedules: [2_000, 10_000, 50] }
    : { workers: 4, seconds: 12, killEveryMs: 3_000, schedules: [1_000, 2_000, 20] }

/** Node's own clock is this far off. The one of the database decides. */
function withClockOff(ms: number): readonly string[] {
  const code = `const Real = Date
    globalThis.Date = class extends Real {
      constructor(...given) { if (given.length > 0) super(...given); else super(Real.now() + ${ms}) }
      static now() { return Real.now() + ${ms} }
    }`
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`]
}

describe.each(places.map(({ name, title }) => ({ name, title })))('schedules on $title', ({ name }) => {
  test('every tick is dispatched once, with two versions, kills and clocks that are off', async () => {
    const on = await scene(name)
    let started = 0
    const start = async (): Promise<Member> => {
      started += 1
      // A SQLite log has no clock but those of its processes, which are those of one machine.
      const isOff = started <= 2 && name !== 'sqlite'
      const env = { ...on.env, SCHEDULES: JSON.stringify(schedules), VERSION: String((started % 2) + 1) }
      return startMember('ticking', env, {
        execArgv: isOff ? withClockOff((started === 1 ? 1 : -1) * 3_600_000) : [],
      })
    }
    const fleet = await Promise.all(Array.from({ length: workers }, start))
    for (let kills = 0; kills * killEveryMs < seconds * 1_000; kills += 1) {
      await lasts(killEveryMs)
      const victim = fleet.shift()
      victim?.signal('SIGKILL')
      await victim?.exited
      fleet.push(await start())
    }
    const names = (await on.errand.schedules.list()).map((schedule) => schedule.name)
    for (const schedule of names) await on.errand.schedules.pause(schedule, 'the test')
    await allEnded(on.log, 60_000)

    const ticks = new Map<string, number[]>()
    const read = async (): Promise<void> => {
      ticks.clear()
      for await (const { payload, tick, state } of on.errand.jobs.list({ job: ticked })) {
        expect(state).toBe('succeeded')
        const { name: schedule, at } = payload as { name: string; at: number }
        expect(tick).toMatchObject({ schedule, at: new Date(at) })
        ticks.set(schedule, [...(ticks.get(schedule) ?? []), at])
      }
    }
    await read()
    expect([...ticks.keys()].toSorted()).toEqual(names)
    expect(names).toHaveLength(schedules[2]! + 3)
    for (const { leftOut, name: schedule } of await on.errand.schedules.list())
      expect(leftOut, schedule).toBe(0)
    for (const [schedule, times] of ticks) {
      const every = schedule === 'quick' ? schedules[0]! : schedules[1]!
      const sorted = times.toSorted((a, b) => a - b)
      const expected = sorted.map((_, index) => sorted[0]! + index * every)
      expect(sorted, schedule).toEqual(expected)
      expect(sorted.length * every, schedule).toBeGreaterThan(seconds * 500)
    }
    expect(await on.violations()).toBe('')
  })
})
