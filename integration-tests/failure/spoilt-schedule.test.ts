import { createErrand, defineJob } from '@errand/core'
import type { Errand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { logFromUrl } from '../services/logs.ts'
import { logs } from './logs.ts'

const job = defineJob({ name: 'spoilt.job' })
const by = { by: 'mia' }

interface Scene {
  readonly errand: Errand
  /** The same log, for what Errand itself would not write. */
  readonly log: JobLog
}

/** Three schedules. */
async function scene(name: string): Promise<Scene> {
  const made = logs[name]!()
  const factory = typeof made === 'object' ? made : logFromUrl(String(made))
  const errand = createErrand({ log: factory, driver: 'database', logger: quietLogger })
  const log = factory.open({ clock: systemClock, logger: quietLogger })
  onTestFinished(async () => {
    await errand.close()
    await log.close()
  })
  for (const schedule of ['a', 'b', 'c']) await errand.schedules.set({ name: schedule, job, every: '1h' }, by)
  return { errand, log }
}

async function spoil({ log }: Scene, name: string, change: (body: string) => string): Promise<void> {
  const [record] = (await log.readSchedules([name])).schedules
  const { revision, body } = record!
  await log.saveSchedules([{ name, after: revision, to: { ...record!, body: change(body) } }])
}

/** The body with other entries. */
const having =
  (entries: object) =>
  (body: string): string =>
    JSON.stringify({ ...(JSON.parse(body) as object), ...entries })

const spoilt: readonly (readonly [what: string, change: (body: string) => string])[] = [
  ['no JSON', () => '{"uid":'],
  ['JSON of something else', () => 'null'],
  ['times of a kind that nobody knows', having({ rules: { times: { kind: 'moon' }, jitterMs: 0 } })],
  ['no acts', having({ acts: undefined })],
  ['a moment that is none', having({ nextAt: 'tomorrow' })],
  ['a count that is none', having({ triggers: 'two' })],
]

describe.each(Object.keys(logs))('a schedule whose row another program has spoilt, on %s', (name) => {
  test('is shown as such, and hides none of its neighbours', async () => {
    const on = await scene(name)
    const { schedules } = on.errand
    for (const [what, change] of spoilt) {
      await spoil(on, 'b', change)
      expect(await schedules.list(), what).toMatchObject([
        { name: 'a', times: 'every 1h', unreadable: false },
        { name: 'b', job: 'spoilt.job', times: '', from: 'run time', unreadable: true, next: undefined },
        { name: 'c', times: 'every 1h', unreadable: false },
      ])
      expect(await schedules.get('b'), what).toMatchObject({ unreadable: true, acts: [] })
      const { findings } = await on.errand.doctor()
      expect(findings, what).toContainEqual(
        expect.objectContaining({
          code: 'schedule-unreadable',
          message: expect.stringContaining('errand schedules remove b') as string,
        }),
      )
      await schedules.remove('b')
      await schedules.set({ name: 'b', job, every: '1h' }, by)
    }
  })

  test('refuses what needs its row, and can be removed and set again', async () => {
    const on = await scene(name)
    const { schedules } = on.errand
    await spoil(on, 'b', () => 'null')
    for (const ask of [
      () => schedules.next('b'),
      () => schedules.pause('b', by),
      () => schedules.resume('b', by),
      () => schedules.trigger('b', by),
    ]) {
      await expect(ask()).rejects.toMatchObject({
        code: 'E_LOG',
        message:
          'the row of schedule "b" cannot be read: another program has changed it; remove it, and set or declare it again',
      })
    }
    await schedules.set({ name: 'b', job, every: '2h' }, by)
    expect(await schedules.get('b')).toMatchObject({
      times: 'every 2h',
      unreadable: false,
      next: expect.any(Date) as Date,
      acts: [{ what: 'set', by: 'mia' }],
    })
    await spoil(on, 'b', () => 'null')
    expect(await schedules.remove('b')).toBe(true)
    expect(await schedules.remove('b')).toBe(false)
    expect((await schedules.list()).map((schedule) => schedule.name)).toEqual(['a', 'c'])
  })
})
