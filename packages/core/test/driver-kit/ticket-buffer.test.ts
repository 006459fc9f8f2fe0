import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { openMessage } from '../../src/driver-kit.ts'
import type { Received } from '../../src/driver-kit.ts'
import { TicketBuffer } from '../../src/driver-kit/ticket-buffer.ts'
import type { Lane } from '../../src/ports.ts'

const nothing = async (): Promise<void> => undefined
const pack = (count: number, lane: Lane, redelivered: boolean, receivedMs = 0) => {
  const tickets = Array.from({ length: count }, () => newTicket({ lane }))
  return openMessage({ tickets, lane, receivedMs, redelivered, ack: nothing, release: nothing })
}
const received = (lane: Lane, atMs = 0): Received => pack(1, lane, false, atMs)[0]!
const many = (count: number, lane: Lane) => Array.from({ length: count }, () => received(lane))
const pickLanes = (taken: readonly Received[]) => taken.map(({ lane }) => lane)

describe('the buffer of tickets', () => {
  it('gives the highest lane first, in the order in which its tickets came', () => {
    const buffer = new TicketBuffer(30_000)
    const [first, second] = many(2, 'high')
    buffer.put([received('low'), first!, received('critical'), second!])
    expect(buffer.take(3, undefined)).toEqual([expect.objectContaining({ lane: 'critical' }), first, second])
    expect(buffer.size).toBe(1)
  })

  it('gives every tenth ticket to the lowest lane that waits', () => {
    const buffer = new TicketBuffer(30_000)
    buffer.put([...many(60, 'critical'), ...many(60, 'low'), ...many(60, 'normal')])
    const taken = Array.from({ length: 50 }, () => pickLanes(buffer.take(1, undefined))).flat()
    expect(taken.filter((lane) => lane === 'low')).toHaveLength(5)
    expect(taken.filter((lane) => lane === 'critical')).toHaveLength(45)
  })

  it('keeps lower lanes back while a higher one may still bring something', () => {
    const buffer = new TicketBuffer(30_000)
    buffer.put(many(5, 'low'))
    expect(buffer.take(5, 'high')).toEqual([])
    buffer.put(many(1, 'critical'))
    expect(pickLanes(buffer.take(5, 'high'))).toEqual(['critical'])
    expect(pickLanes(buffer.take(5, undefined))).toEqual(['low', 'low', 'low', 'low', 'low'])
  })

  it('gives the rest of a message with it where some of its tickets may be done, and only then', () => {
    const buffer = new TicketBuffer(30_000)
    buffer.put([...pack(4, 'low', true), ...pack(3, 'normal', false)])
    expect(pickLanes(buffer.take(2, undefined))).toEqual(['normal', 'normal'])
    expect(pickLanes(buffer.take(2, undefined))).toEqual(['normal', 'low', 'low', 'low', 'low'])
    expect(buffer.isEmpty).toBe(true)
  })

  it('marks the rest of whole messages as extra, so that it takes no share', () => {
    const buffer = new TicketBuffer(30_000)
    buffer.put([...pack(12, 'critical', true), ...pack(4, 'low', true)])
    const taken = buffer.take(10, undefined)
    expect(taken).toHaveLength(16)
    const wanted = taken.filter(({ extra }) => !extra)
    expect(pickLanes(wanted)).toEqual([...Array.from({ length: 9 }, () => 'critical'), 'low'])

    buffer.put([...many(60, 'critical'), ...Array.from({ length: 9 }, () => pack(8, 'low', true)).flat()])
    const answers = Array.from({ length: 30 }, () => pickLanes(buffer.take(1, undefined)))
    expect(answers.filter((lanes) => lanes.includes('low'))).toHaveLength(3)
  })

  it('keeps no ticket past half a second, and gives none whose visibility has ended', () => {
    const buffer = new TicketBuffer(1_000)
    const [early, late] = [received('high', 0), received('high', 400)]
    buffer.put([early, late])
    expect(buffer.findDueMs(500)).toBe(500)
    expect(buffer.takeDue(499, 500)).toEqual([])
    expect(buffer.takeDue(500, 500)).toEqual([early])
    // The event loop was blocked.
    expect(buffer.takeExpired(1_400)).toEqual([late])
    expect(buffer.isEmpty).toBe(true)
  })
})
