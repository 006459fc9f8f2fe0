import type { Lane } from '@errand/core/ports'
import { describe, expect, it } from 'vitest'
import { Received } from '../src/delivery.ts'
import type { LaneQueue } from '../src/lane-queue.ts'
import { Shelf } from '../src/shelf.ts'
import { newTicket } from '@errand/testkit'

const received = (lane: Lane, atMs = 0) =>
  new Received(newTicket({ lane }), 'handle', { lane } as LaneQueue, atMs)
const many = (count: number, lane: Lane) => Array.from({ length: count }, () => received(lane))
const lanesOf = (taken: readonly Received[]) => taken.map(({ queue }) => queue.lane)

describe('the shelf', () => {
  it('gives the highest lane first, in the order in which its tickets came', () => {
    const shelf = new Shelf(30_000)
    const [first, second] = many(2, 'high')
    shelf.put([received('low'), first!, received('critical'), second!])
    expect(shelf.take(3, undefined)).toEqual([
      expect.objectContaining({ queue: { lane: 'critical' } }),
      first,
      second,
    ])
    expect(shelf.size).toBe(1)
  })

  it('gives every tenth ticket to the lowest lane that waits', () => {
    const shelf = new Shelf(30_000)
    shelf.put([...many(60, 'critical'), ...many(60, 'low'), ...many(60, 'normal')])
    const taken = Array.from({ length: 50 }, () => lanesOf(shelf.take(1, undefined))).flat()
    expect(taken.filter((lane) => lane === 'low')).toHaveLength(5)
    expect(taken.filter((lane) => lane === 'critical')).toHaveLength(45)
  })

  it('keeps lower lanes back while a higher one may still bring something', () => {
    const shelf = new Shelf(30_000)
    shelf.put(many(5, 'low'))
    expect(shelf.take(5, 'high')).toEqual([])
    shelf.put(many(1, 'critical'))
    expect(lanesOf(shelf.take(5, 'high'))).toEqual(['critical'])
    expect(lanesOf(shelf.take(5, undefined))).toEqual(['low', 'low', 'low', 'low', 'low'])
  })

  it('keeps no ticket past half a second, and gives none whose visibility has ended', () => {
    const shelf = new Shelf(1_000)
    const [early, late] = [received('high', 0), received('high', 400)]
    shelf.put([early, late])
    expect(shelf.dueMs).toBe(500)
    expect(shelf.takeDue(499)).toEqual([])
    expect(shelf.takeDue(500)).toEqual([early])
    // The event loop stood still.
    expect(shelf.takeExpired(1_400)).toEqual([late])
    expect(shelf.isEmpty).toBe(true)
  })
})
