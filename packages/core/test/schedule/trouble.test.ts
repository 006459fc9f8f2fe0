import { expect, test } from 'vitest'
import { defineSchedule, handle } from '../../src/index.ts'
import { eventually } from '../worker/stage.ts'
import { chore, closeDay, closeDays, hourMs, hourly, scene } from './scene.ts'

test('a payload that cannot be made leaves its tick out, says why, and stops no other schedule', async () => {
  await using on = scene()
  let isBroken = true
  const broken = defineSchedule({
    name: 'broken',
    job: closeDay,
    every: '1h',
    payload: () => {
      if (isBroken) throw new Error('no calendar')
      return { day: 'monday' }
    },
  })
  const misfit = defineSchedule({
    name: 'misfit',
    job: closeDay,
    every: '1h',
    payload: () => ({ day: 7 as unknown as string }),
  })
  const days: string[] = []
  await on.work({
    handlers: [on.note, handle(closeDay, ({ day }) => void days.push(day))],
    schedules: [broken, misfit, hourly],
  })
  await on.clock.advance(2.5 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(2))
  const info = await on.errand.schedules.get('broken')
  expect(info).toMatchObject({
    leftOut: 2,
    trouble: { error: expect.stringContaining('no calendar') as string },
  })
  expect((await on.errand.schedules.get('misfit'))?.trouble?.error).toContain('does not fit')
  expect(on.lines.filter(({ message }) => message?.includes('was left out') === true)).toHaveLength(4)
  isBroken = false
  await on.clock.advance(hourMs)
  await eventually(() => expect(days).toEqual(['monday']))
  expect((await on.errand.schedules.get('broken'))?.trouble).toBeUndefined()
})

test('a row that another program has spoilt stops no other schedule', async () => {
  await using on = scene()
  const spoil = (name: string, body: unknown): Promise<unknown> =>
    on.log.saveSchedules([
      {
        name,
        after: 0,
        to: {
          dueAt: 1,
          job: 'chore',
          isDeclared: false,
          declaredBy: undefined,
          body: JSON.stringify(body),
        },
      },
    ])
  const rules = { times: { kind: 'cron', cron: 'at noon', zone: 'UTC' }, missed: 'last', jitterMs: 0 }
  await spoil('spoilt', { uid: 7 })
  await spoil('no-cron', { uid: 'u', rules, nextAt: 1, leftOut: 0, triggers: 0, triggered: 0, acts: [] })
  await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(1.5 * hourMs)
  await eventually(() => expect(on.ticks).toHaveLength(1))
  expect(on.lines.filter(({ message }) => message === 'a schedule cannot be read').length).toBeLessThan(5)
  expect(await on.errand.schedules.get('no-cron')).toMatchObject({
    next: undefined,
    trouble: { error: expect.stringContaining('at noon') as string },
  })
})

test('doctor names schedules that fail, are paused, or have nobody who ticks them', async () => {
  await using on = scene()
  const broken = defineSchedule({
    name: 'broken',
    job: closeDay,
    every: '1h',
    payload: () => {
      throw new Error('no calendar')
    },
  })
  const gone = await on.work({ handlers: [on.note], schedules: [hourly] })
  await on.clock.advance(1_000)
  await on.stop(gone)
  await on.work({ handlers: [handle(closeDay, () => undefined)], schedules: [broken, closeDays] })
  await on.errand.schedules.set({ name: 'unknown-job', job: chore, every: '1h' }, 'ada')
  await on.clock.advance(1.5 * hourMs)
  await on.errand.schedules.pause('close-days', 'ada')
  const { findings } = await on.errand.doctor()
  expect(findings.filter(({ code }) => code.startsWith('schedule-'))).toEqual([
    {
      severity: 'error',
      code: 'schedule-failing',
      message:
        'the last tick of schedule broken was left out: payload() of schedule broken threw: no calendar',
    },
    {
      severity: 'error',
      code: 'schedule-late',
      message: expect.stringMatching(
        /^schedule unknown-job has been due for 180\d s: no live worker handles chore$/,
      ) as string,
    },
    { severity: 'info', code: 'schedule-paused', message: 'schedule close-days is paused by ada' },
    {
      severity: 'info',
      code: 'schedule-dormant',
      message: 'schedule hourly does not tick: no live worker declares it any more',
    },
  ])
})
