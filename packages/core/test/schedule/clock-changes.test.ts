// Every change of the clock in 2027, in a zone that changes by an hour early in the day, in one on the other side of the Atlantic, and in
// one that changes by half an hour. The times are those of croner 11.0.1 with tzdata of Node 24, read one by one.
import { describe, expect, it } from 'vitest'
import { nextTick } from '../../src/schedule/next.ts'
import type { StoredTimes } from '../../src/schedule/times.ts'

interface Night {
  readonly zone: string
  readonly from: string
  readonly until: string
}

const nights = {
  'Berlin in spring: 02:00 is 03:00': {
    zone: 'Europe/Berlin',
    from: '2027-03-27T23:00:00Z',
    until: '2027-03-28T03:00:00Z',
  },
  'Berlin in autumn: 03:00 is 02:00': {
    zone: 'Europe/Berlin',
    from: '2027-10-30T22:00:00Z',
    until: '2027-10-31T03:00:00Z',
  },
  'New York in spring: 02:00 is 03:00': {
    zone: 'America/New_York',
    from: '2027-03-14T05:00:00Z',
    until: '2027-03-14T09:00:00Z',
  },
  'New York in autumn: 02:00 is 01:00': {
    zone: 'America/New_York',
    from: '2027-11-07T04:00:00Z',
    until: '2027-11-07T09:00:00Z',
  },
  'Lord Howe in spring: 02:00 is 02:30': {
    zone: 'Australia/Lord_Howe',
    from: '2027-10-02T13:30:00Z',
    until: '2027-10-02T17:00:00Z',
  },
  'Lord Howe in autumn: 02:00 is 01:30': {
    zone: 'Australia/Lord_Howe',
    from: '2027-04-03T13:00:00Z',
    until: '2027-04-03T17:00:00Z',
  },
} as const satisfies Readonly<Record<string, Night>>
type NightName = keyof typeof nights

/** The ticks of a night, each as the clock on the wall shows it, with its offset from UTC. */
const expected: Readonly<Record<string, Readonly<Record<NightName, string>>>> = {
  // Fixed times: one that does not exist comes at the first moment after the gap, one that comes twice comes the first time.
  '30 2 * * *': {
    'Berlin in spring: 02:00 is 03:00': '03:00+02:00',
    'Berlin in autumn: 03:00 is 02:00': '02:30+02:00',
    'New York in spring: 02:00 is 03:00': '03:00-04:00',
    'New York in autumn: 02:00 is 01:00': '02:30-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '02:30+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '02:30+10:30',
  },
  '15 2 * * *': {
    'Berlin in spring: 02:00 is 03:00': '03:00+02:00',
    'Berlin in autumn: 03:00 is 02:00': '02:15+02:00',
    'New York in spring: 02:00 is 03:00': '03:00-04:00',
    'New York in autumn: 02:00 is 01:00': '02:15-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '02:30+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '02:15+10:30',
  },
  // Several that do not exist come once.
  '0,30 2 * * *': {
    'Berlin in spring: 02:00 is 03:00': '03:00+02:00',
    'Berlin in autumn: 03:00 is 02:00': '02:00+02:00 02:30+02:00',
    'New York in spring: 02:00 is 03:00': '03:00-04:00',
    'New York in autumn: 02:00 is 01:00': '02:00-05:00 02:30-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '02:30+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '02:00+10:30 02:30+10:30',
  },
  '30 1-3 * * *': {
    'Berlin in spring: 02:00 is 03:00': '01:30+01:00 03:00+02:00 03:30+02:00',
    'Berlin in autumn: 03:00 is 02:00': '01:30+02:00 02:30+02:00 03:30+01:00',
    'New York in spring: 02:00 is 03:00': '01:30-05:00 03:00-04:00 03:30-04:00',
    'New York in autumn: 02:00 is 01:00': '01:30-04:00 02:30-05:00 03:30-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '01:30+10:30 02:30+11:00 03:30+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '01:30+11:00 02:30+10:30',
  },
  // Intervals: what does not exist is left out, what comes twice comes twice.
  '0 */2 * * *': {
    'Berlin in spring: 02:00 is 03:00': '00:00+01:00 04:00+02:00',
    'Berlin in autumn: 03:00 is 02:00': '00:00+02:00 02:00+02:00 02:00+01:00',
    'New York in spring: 02:00 is 03:00': '00:00-05:00 04:00-04:00',
    'New York in autumn: 02:00 is 01:00': '00:00-04:00 02:00-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '00:00+10:30',
    'Lord Howe in autumn: 02:00 is 01:30': '00:00+11:00 02:00+10:30',
  },
  '*/30 2 * * *': {
    'Berlin in spring: 02:00 is 03:00': '',
    'Berlin in autumn: 03:00 is 02:00': '02:00+02:00 02:30+02:00 02:00+01:00 02:30+01:00',
    'New York in spring: 02:00 is 03:00': '',
    'New York in autumn: 02:00 is 01:00': '02:00-05:00 02:30-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '02:30+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '02:00+10:30 02:30+10:30',
  },
  '0 * * * *': {
    'Berlin in spring: 02:00 is 03:00': '00:00+01:00 01:00+01:00 03:00+02:00 04:00+02:00',
    'Berlin in autumn: 03:00 is 02:00': '00:00+02:00 01:00+02:00 02:00+02:00 02:00+01:00 03:00+01:00',
    'New York in spring: 02:00 is 03:00': '00:00-05:00 01:00-05:00 03:00-04:00 04:00-04:00',
    'New York in autumn: 02:00 is 01:00': '00:00-04:00 01:00-04:00 01:00-05:00 02:00-05:00 03:00-05:00',
    'Lord Howe in spring: 02:00 is 02:30': '00:00+10:30 01:00+10:30 03:00+11:00',
    'Lord Howe in autumn: 02:00 is 01:30': '00:00+11:00 01:00+11:00 02:00+10:30 03:00+10:30',
  },
}

describe.each(Object.entries(nights))('%s', (name, night) => {
  it.each(Object.entries(expected))('%s', (cron, ticks) => {
    const times: StoredTimes = { kind: 'cron', cron, zone: night.zone }
    expect(
      listTicks(times, night)
        .map((atMs) => onTheWall(atMs, night.zone))
        .join(' '),
    ).toBe(ticks[name as NightName])
  })
})

it('a schedule with a distance does not know of clocks that change', () => {
  const night = nights['Berlin in autumn: 03:00 is 02:00']
  const ticks = listTicks({ kind: 'every', everyMs: 3_600_000, fromMs: 0 }, night)
  expect(ticks.map((atMs) => atMs - Date.parse(night.from))).toEqual(
    [0, 1, 2, 3, 4].map((hour) => hour * 3_600_000),
  )
})

/** From its beginning, and before its end. */
function listTicks(times: StoredTimes, { from, until }: Night): number[] {
  const found: number[] = []
  let at = nextTick(times, Date.parse(from) - 1)
  for (; at !== undefined && at < Date.parse(until); at = nextTick(times, at)) found.push(at)
  return found
}

function onTheWall(atMs: number, zone: string): string {
  const read = (options: Intl.DateTimeFormatOptions, type: string): string =>
    new Intl.DateTimeFormat('en', { timeZone: zone, ...options })
      .formatToParts(atMs)
      .find((part) => part.type === type)?.value ?? ''
  const [hour, minute] = [
    read({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, 'hour'),
    read({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, 'minute').padStart(2, '0'),
  ]
  return `${hour}:${minute}${read({ timeZoneName: 'longOffset' }, 'timeZoneName').replace('GMT', '')}`
}
