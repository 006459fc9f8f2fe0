import { describe, expect, it } from 'vitest'
import { newTicket, quietLogger } from '@errand/testkit'
import { Packing } from '../../src/dispatch/packing.ts'
import type { ServedQueue } from '../../src/ports/job-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'

const tickets = [newTicket(), newTicket()]

/** A log in which these workers serve the queues, and how often it was asked. */
function stage(answer: () => Promise<readonly ServedQueue[]>, packs = true) {
  const clock = virtualClock()
  let asked = 0
  const log = {
    served: () => {
      asked += 1
      return answer()
    },
  }
  const driver = { capabilities: { delivers: 'tickets', depth: 'exact', packs } as const }
  const packing = new Packing({ driver, log, clock, logger: quietLogger })
  return { clock, packing, asked: () => asked }
}
const media = (workers: number, slots: number | undefined) => async () => [{ queue: 'media', workers, slots }]

describe('how many tickets a message may carry', () => {
  it('is what one worker takes at a time, twice, and at most 20', async () => {
    for (const [slots, most] of [
      [0, 1],
      [1, 2],
      [4, 8],
      [10, 20],
      [500, 20],
    ] as const) {
      const rule = await stage(media(1, slots)).packing.rule(tickets)
      expect(rule?.('media', 1_000)).toBe(most)
    }
  })

  it('leaves a message to each live worker', async () => {
    const rule = await stage(media(10, 10)).packing.rule(tickets)
    expect([1, 10, 11, 100, 1_000].map((count) => rule?.('media', count))).toEqual([1, 1, 2, 10, 20])
  })

  it('is what most workers take where none serves the queue yet', async () => {
    const rule = await stage(media(1, 1)).packing.rule(tickets)
    expect(rule?.('mail', 1_000)).toBe(20)
  })

  it('is one while a live worker has not said that it reads more', async () => {
    const rule = await stage(media(3, undefined)).packing.rule(tickets)
    expect(rule?.('media', 1_000)).toBe(1)
  })

  it('is one where the log cannot be asked', async () => {
    const refused = stage(async () => Promise.reject(new Error('no right')))
    expect(await refused.packing.rule(tickets)).toBeUndefined()
    expect(refused.packing.rule(tickets)).toBeUndefined()
  })

  it('is one while the log does not answer, which nobody waits for longer than a moment', async () => {
    const hanging = stage(() => new Promise(() => {}))
    const rule = hanging.packing.rule(tickets)
    await hanging.clock.advance(250)
    expect(await rule).toBeUndefined()
  })

  it('costs a single ticket, and a driver that does not pack, no look into the log', () => {
    const single = stage(media(1, 10))
    expect(single.packing.rule([newTicket()])).toBeUndefined()
    const other = stage(media(1, 10), false)
    expect(other.packing.rule(tickets)).toBeUndefined()
    expect([single.asked(), other.asked()]).toEqual([0, 0])
  })

  it('is asked for every five seconds at most, in the background', async () => {
    let slots = 1
    const { clock, packing, asked } = stage(async () => [{ queue: 'media', workers: 1, slots }])
    await packing.rule(tickets)
    slots = 2
    await clock.advance(4_999)
    expect(packing.rule(tickets)).not.toBeInstanceOf(Promise)
    expect(asked()).toBe(1)
    await clock.advance(1)
    expect(packing.rule(tickets)).not.toBeInstanceOf(Promise)
    expect(asked()).toBe(2)
    await clock.advance(0)
    const rule = await packing.rule(tickets)
    expect(rule?.('media', 100)).toBe(4)
  })
})
