import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lastTick, nextTick } from '../../src/schedule/next.ts'
import type { StoredTimes } from '../../src/schedule/times.ts'

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Apia',
]
const crons = [
  '30 2 * * *',
  '*/7 * * * *',
  '0 */2 * * *',
  '15 1-3 * * mon-fri',
  '0 0 L * *',
  '20 0 2 * * sun#1',
  '0 12 29 2 *',
]
const from = Date.parse('2027-01-01T00:00:00Z')
const moments = fc.integer({ min: from, max: from + 366 * 86_400_000 })
const anyTimes: fc.Arbitrary<StoredTimes> = fc.oneof(
  fc.record({
    kind: fc.constant('cron' as const),
    cron: fc.constantFrom(...crons),
    zone: fc.constantFrom(...zones),
  }),
  fc.record({
    kind: fc.constant('every' as const),
    everyMs: fc.integer({ min: 1_000, max: 90 * 86_400_000 }),
    fromMs: fc.integer({ min: 0, max: 2 * from }),
  }),
  fc.record({ kind: fc.constant('once' as const), atMs: moments }),
)

describe('the ticks of a schedule', () => {
  it('are the same series wherever one begins to read it', () => {
    const isOne = (times: StoredTimes, one: number, other: number): void => {
      const [early, late] = [Math.min(one, other), Math.max(one, other)]
      const direct = nextTick(times, late)
      let walked = nextTick(times, early)
      for (let step = 0; walked !== undefined && walked <= late && step < 3_000; step += 1) {
        const next = nextTick(times, walked)
        expect(next ?? Infinity).toBeGreaterThan(walked)
        walked = next
      }
      if (walked === undefined || walked > late) expect(walked).toBe(direct)
    }
    fc.assert(
      fc.property(anyTimes, moments, fc.integer({ min: 0, max: 3 * 86_400_000 }), (times, at, later) =>
        isOne(times, at, at + later),
      ),
      { seed: 1, numRuns: 60 },
    )
  })

  it('can be read backwards: the last one before the next one is the one before it', () => {
    const isBack = (times: StoredTimes, at: number): void => {
      const next = nextTick(times, at)
      if (next === undefined) return
      expect(lastTick(times, 0, next)).toBe(next)
      const before = lastTick(times, 0, next - 1)
      expect(before ?? -1).toBeLessThanOrEqual(at)
      if (before !== undefined) expect(nextTick(times, before)).toBe(next)
    }
    fc.assert(fc.property(anyTimes, moments, isBack), { seed: 1, numRuns: 300 })
  })

  it('end where nothing comes any more, and are not looked for before a moment', () => {
    const once: StoredTimes = { kind: 'once', atMs: 5_000 }
    expect([nextTick(once, 4_999), nextTick(once, 5_000)]).toEqual([5_000, undefined])
    expect([lastTick(once, 0, 4_999), lastTick(once, 0, 5_000), lastTick(once, 5_001, 9_000)]).toEqual([
      undefined,
      5_000,
      undefined,
    ])
  })
})
