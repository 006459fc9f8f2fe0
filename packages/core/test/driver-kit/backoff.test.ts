import { describe, expect, it } from 'vitest'
import { Backoff } from '../../src/driver-kit.ts'

const noChance = (): number => 1

describe('the backoff of a lane', () => {
  it('counts polls that fail together once: a blip costs a tenth of a second, however many were open', () => {
    const backoff = new Backoff()
    for (let poll = 0; poll < 16; poll += 1) expect(backoff.failed(1_000, noChance)).toBe(100)
    expect(backoff.failed(1_040, noChance)).toBe(60)
    expect(backoff.remainingMs(1_040)).toBe(60)
    expect(backoff.remainingMs(1_100)).toBe(0)
  })

  it('doubles with each failure after a wait, up to 5 s, and starts over after a success', () => {
    const backoff = new Backoff()
    let now = 0
    const waits = Array.from({ length: 10 }, () => {
      const waitMs = backoff.failed(now, noChance)
      now += waitMs
      return waitMs
    })
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000])
    backoff.succeeded()
    expect(backoff.remainingMs(now)).toBe(0)
    expect(backoff.failed(now, noChance)).toBe(100)
  })
})
