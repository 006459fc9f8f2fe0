import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineJob, defineSchedule, defineWorker, handle } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'

const report = defineJob({ name: 'report', payload: z.object({ day: z.string() }) })
const ping = defineJob({ name: 'ping' })
const payload = { day: 'monday' }

/** As JavaScript may call it. */
const define = (schedule: object): unknown =>
  defineSchedule({ name: 's', job: ping, every: '1h', ...schedule } as never)

describe('defineSchedule', () => {
  it.each([
    ['no name', { name: '' }, 'E_NAME', 'not a name for a schedule'],
    ['a name with a space', { name: 'close day' }, 'E_NAME', 'letters, digits and . _ : / -'],
    ['no job', { job: undefined }, 'E_OPTION', 'pass what defineJob() returned'],
    ['two kinds of times', { cron: '0 0 * * *' }, 'E_SCHEDULE', 'more than one kind of times'],
    ['no times', { every: undefined }, 'E_SCHEDULE', 'has no times'],
    ['a zone without a cron', { zone: 'UTC' }, 'E_SCHEDULE', 'has a zone'],
    ['a cron that never comes', { every: undefined, cron: '0 0 30 2 *' }, 'E_SCHEDULE', 'never comes'],
    [
      'an unknown zone',
      { every: undefined, cron: '0 0 * * *', zone: 'Europe/Berln' },
      'E_SCHEDULE',
      'no zone',
    ],
    [
      'a zone in another case',
      { every: undefined, cron: '0 0 * * *', zone: 'europe/berlin' },
      'E_SCHEDULE',
      'is written "Europe/Berlin"',
    ],
    [
      'seconds where minutes were meant',
      { every: undefined, cron: '* 30 2 * * *' },
      'E_SCHEDULE',
      'comes every second',
    ],
    [
      'an end before its moment',
      { every: undefined, at: new Date('2027-01-02'), until: new Date('2027-01-01') },
      'E_SCHEDULE',
      'its until is before its at',
    ],
    ['an unknown option', { overlaps: 'skip' }, 'E_OPTION', 'did you mean "overlap"?'],
    ['an unknown policy', { missed: 'all' }, 'E_OPTION', "'skip', 'last'"],
    ['a jitter that is none', { jitter: 'a bit' }, 'E_DURATION', 'jitter'],
    ['a payload that its job does not take', { payload }, 'E_OPTION', 'ping takes none'],
    ['no payload', { job: report }, 'E_OPTION', 'report needs one'],
    ['an id for every tick', { options: { id: 'x' } }, 'E_OPTION', 'no option "id"'],
  ])('refuses %s', async (_, schedule, code, message) => {
    const refusal = await catchRefusal(() => define(schedule))
    expect(refusal.code).toBe(code)
    expect(refusal.message).toContain(message)
  })

  it('a worker takes each name once, and nothing but schedules', async () => {
    const one = defineSchedule({ name: 'one', job: ping, every: '1h' })
    const handlers = [handle(ping, () => undefined)]
    const twice = await catchRefusal(() => defineWorker({ handlers, schedules: [one, one] }))
    expect(twice).toMatchObject({
      code: 'E_SCHEDULE',
      message: "two schedules of this worker are named 'one'",
    })
    const wrong = await catchRefusal(() => defineWorker({ handlers, schedules: [ping as never] }))
    expect(wrong.message).toContain('pass what defineSchedule() returned')
  })
})
