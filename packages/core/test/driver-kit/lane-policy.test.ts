import { describe, expect, it } from 'vitest'
import { LanePolicy } from '../../src/ports.ts'
import type { Lane } from '../../src/ports.ts'

const high = (count: number) => Array.from({ length: count }, (): Lane => 'high')

describe('the lane policy', () => {
  it('gives the lowest lane one grant in ten, whatever the size of the asks', () => {
    const policy = new LanePolicy()
    let fromLowest = 0
    for (let ask = 0; ask < 100; ask += 1) {
      const max = 1 + (ask % 7)
      const low = policy.fromLowest(max)
      fromLowest += low
      policy.granted(max, [...high(max - low), ...Array.from({ length: low }, (): Lane => 'low')])
    }
    expect(fromLowest).toBe(
      Math.floor(Array.from({ length: 100 }, (_, n) => 1 + (n % 7)).reduce((a, b) => a + b) / 10),
    )
  })

  it('a lane whose tickets were still on their way has its turn before the next one', () => {
    const policy = new LanePolicy()
    policy.granted(1, ['low'])
    expect(policy.fromLowest(9)).toBe(1)
    policy.granted(9, high(9))
    expect(policy.fromLowest(1)).toBe(1)
    policy.granted(1, high(1))
    expect(policy.fromLowest(1)).toBe(1)
    policy.granted(1, ['low'])
    expect(policy.fromLowest(1)).toBe(0)
  })

  it('a lane that misses two turns has no tickets, and is owed none when it has some again', () => {
    const policy = new LanePolicy()
    policy.granted(1, ['low'])
    for (let ask = 0; ask < 50; ask += 1) policy.granted(1, high(1))
    expect(policy.fromLowest(1)).toBe(0)
    policy.granted(1, ['low'])
    expect(policy.fromLowest(5)).toBe(0)
  })
})
