import { describe, expect, it } from 'vitest'
import { Pace } from '../../src/driver-kit/pace.ts'

describe('the pace', () => {
  it('expects as many tickets as went within the last quarter of a second', () => {
    const pace = new Pace()
    expect(pace.expected(1_000)).toBe(0)
    pace.took(4, 1_000)
    pace.took(6, 1_200)
    expect(pace.expected(1_210)).toBe(10)
    expect(pace.expected(1_300)).toBe(6)
    // A worker that has become slow gets no more than it has slots for.
    expect(pace.expected(1_500)).toBe(0)
  })
})
