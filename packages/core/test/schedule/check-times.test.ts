import { describe, expect, it } from 'vitest'
import { checkTimes } from '../../src/schedule/check-times.ts'
import type { ScheduleTimes } from '../../src/schedule/times.ts'

const check = (times: unknown) => checkTimes('schedule "nightly"', times as ScheduleTimes)

describe('the times of a schedule are stored', () => {
  it('as a pattern with its zone, a distance with its beginning, or a moment', () => {
    expect(check({ cron: ' 30  2 * * mon-fri ', zone: 'Europe/Berlin' })).toEqual({
      kind: 'cron',
      cron: '30 2 * * mon-fri',
      zone: 'Europe/Berlin',
    })
    expect(check({ cron: '*/10 0 2 * * *' })).toMatchObject({ zone: 'UTC' })
    expect(check({ every: '15m' })).toEqual({ kind: 'every', everyMs: 900_000, fromMs: 0 })
    expect(check({ every: 1_000, from: new Date(5) })).toEqual({ kind: 'every', everyMs: 1_000, fromMs: 5 })
    expect(check({ at: new Date(7) })).toEqual({ kind: 'once', atMs: 7 })
  })
})

describe('times that are refused', () => {
  it.each<[string, unknown, RegExp]>([
    ['a pattern that never comes', { cron: '0 0 30 2 *' }, /never comes/],
    ['a pattern that is over', { cron: '0 0 0 1 1 * 2020' }, /7 fields/],
    ['a moment as a pattern', { cron: '2027-01-01T00:00:00' }, /1 field; write minute, hour/],
    ['a pattern that is no text', { cron: 5 }, /its cron is 5/],
    ['a minute that no hour has', { cron: '60 * * * *' }, /cannot be read \(Invalid value for minute: 60\)/],
    ['a nickname', { cron: '@daily' }, /1 field; write minute, hour/],
    [
      'every second where a minute was meant',
      { cron: '* 30 2 * * *' },
      /every second.*write "30 2 \* \* \*"/,
    ],
    ['every second', { cron: '* * * * * *' }, /for every second every: '1s'/],
    [
      'a zone that nobody knows',
      { cron: '0 2 * * *', zone: 'Mars/Olympus' },
      /knows no zone "Mars\/Olympus"/,
    ],
    ['the wrong case of a zone', { cron: '0 2 * * *', zone: 'europe/berlin' }, /is written "Europe\/Berlin"/],
    ['a zone that is no text', { cron: '0 2 * * *', zone: 2 }, /knows no zone 2/],
    ['a zone without a pattern', { every: '1h', zone: 'UTC' }, /only a cron has/],
    ['a beginning without a distance', { at: new Date(0), from: new Date(0) }, /only every has/],
    ['a distance below a second', { every: '500ms' }, /a second is the shortest/],
    ['no times', {}, /no times; give one of cron/],
    ['two kinds of times', { cron: '0 2 * * *', every: '1h' }, /more than one kind/],
  ])('%s', (_, times, message) => {
    expect(() => check(times)).toThrow(
      expect.objectContaining({ code: 'E_SCHEDULE', message: expect.stringMatching(message) as string }),
    )
  })

  it('and a distance or a moment that is none, with the codes that those have everywhere', () => {
    expect(() => check({ every: 'soon' })).toThrow(expect.objectContaining({ code: 'E_DURATION' }))
    expect(() => check({ at: 'tomorrow' })).toThrow(expect.objectContaining({ code: 'E_OPTION' }))
  })
})
