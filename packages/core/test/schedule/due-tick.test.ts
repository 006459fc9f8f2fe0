import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findDueTick } from '../../src/schedule/due-tick.ts'
import type { DueTick, Missed } from '../../src/schedule/due-tick.ts'
import type { StoredTimes } from '../../src/schedule/times.ts'

const minute = 60_000
const hour = 60 * minute
const every = (everyMs: number): StoredTimes => ({ kind: 'every', everyMs, fromMs: 0 })
const daily: StoredTimes = { kind: 'cron', cron: '30 2 * * *', zone: 'Europe/Berlin' }

describe('a tick that is on time', () => {
  it('is due at its moment and not before, and the next one follows', () => {
    expect(findDueTick(every(minute), minute, minute - 1, { missed: 'last' })).toBeUndefined()
    const found = findDueTick(every(minute), minute, minute, { missed: 'skip' })
    expect(found).toEqual({ atMs: minute, leftOut: 0, nextMs: 2 * minute })
  })

  it('of a schedule of seconds is not left out because the one after it is due as well', () => {
    const found = findDueTick(every(2_000), 100_000, 109_000, { missed: 'skip' })
    expect(found).toEqual({ atMs: 100_000, leftOut: 0, nextMs: 102_000 })
  })

  it('may be late by a minute, and by its jitter', () => {
    const find = (lateMs: number, jitterMs: number): DueTick | undefined =>
      findDueTick(every(hour), hour, hour + lateMs, { missed: 'skip', jitterMs })
    expect(find(minute, 0)?.atMs).toBe(hour)
    expect(find(minute + 1, 0)?.atMs).toBeUndefined()
    expect(find(minute + 1, 5 * minute)?.atMs).toBe(hour)
  })
})

describe('after a time without workers', () => {
  const tick = Date.parse('2027-06-01T00:30:00Z')

  it('of a night, the tick of that night runs in the morning, or not at all', () => {
    const morning = tick + 6 * hour
    const nextMs = tick + 24 * hour
    expect(findDueTick(daily, tick, morning, { missed: 'last' })).toEqual({ atMs: tick, leftOut: 0, nextMs })
    expect(findDueTick(daily, tick, morning, { missed: 'skip' })).toEqual({
      atMs: undefined,
      leftOut: 1,
      nextMs,
    })
  })

  it('of three nights, the newest tick runs, and the others are counted', () => {
    const found = findDueTick(daily, tick, tick + 49 * hour, { missed: 'last' })
    expect(found).toEqual({ atMs: tick + 48 * hour, leftOut: 2, nextMs: tick + 72 * hour })
  })

  it('no late tick runs where one that is on time is newer', () => {
    const found = findDueTick(every(minute), minute, 100.5 * minute, { missed: 'last' })
    expect(found).toEqual({ atMs: 100 * minute, leftOut: 99, nextMs: 101 * minute })
  })

  it('a thousand are counted, and no more', () => {
    const found = findDueTick(every(1_000), 1_000, 10 * hour, { missed: 'skip' })
    expect(found?.leftOut).toBe(1_000)
  })
})

it('a schedule that has an end ticks up to it, and then never again', () => {
  const endMs = 2 * minute
  expect(findDueTick(every(minute), minute, minute, { missed: 'last', endMs })?.nextMs).toBe(endMs)
  expect(findDueTick(every(minute), endMs, endMs, { missed: 'last', endMs })).toEqual({
    atMs: endMs,
    leftOut: 0,
    nextMs: undefined,
  })
  expect(findDueTick(every(minute), endMs + minute, hour, { missed: 'last', endMs })).toBeUndefined()
})

it('each tick is due, left out as late, or still to come: never twice, and never forgotten', () => {
  const seconds = (max: number): fc.Arbitrary<number> =>
    fc.integer({ min: 1, max }).map((each) => 1_000 * each)
  const check = (everyMs: number, first: number, nowMs: number, jitterMs: number, missed: Missed): void => {
    const ticks = Array.from({ length: 1_000 }, (_, index) => (Math.ceil(first / everyMs) + index) * everyMs)
    let next = ticks[0]
    let seen = 0
    for (let step = 0; next !== undefined && next <= nowMs && step < 1_000; step += 1) {
      const due = findDueTick(every(everyMs), next, nowMs, { missed, jitterMs })!
      seen += due.leftOut
      if (due.atMs !== undefined) {
        expect(due.atMs).toBe(ticks[seen])
        seen += 1
      }
      expect(due.nextMs).toBe(ticks[seen])
      // Only what is late is left out.
      if (due.leftOut > 0) expect(ticks[seen - 1]! - everyMs).toBeLessThan(nowMs - minute - jitterMs)
      next = due.nextMs
    }
    if (next !== undefined) expect(next).toBeGreaterThan(nowMs)
  }
  const policies = fc.constantFrom<Missed[]>('skip', 'last')
  fc.assert(
    fc.property(
      seconds(600).map((ms) => ms + 4_000),
      seconds(600),
      seconds(3_000),
      seconds(100),
      policies,
      check,
    ),
    {
      seed: 1,
      numRuns: 500,
    },
  )
})
