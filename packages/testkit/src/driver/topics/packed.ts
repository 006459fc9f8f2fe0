import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { lanes } from '@errand/core/ports'
import type { Delivery, Lane, Subscription, Ticket } from '@errand/core/ports'
import { newTicket } from '../../fixtures.ts'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

/** For drivers that put several tickets into one message. */
export function describePacked(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { packs, depth, inexact, publishRaw } = harness.capabilities
  const idOf = ({ ticket }: Delivery) => ticket.id
  /** Asks until each of these tickets has come at least once. */
  const seeAll = async (on: DriverScene, subscription: Subscription, tickets: readonly Ticket[]) => {
    const missing = new Set(tickets.map(({ id }) => id))
    while (missing.size > 0) for (const id of listIds(await on.drain(subscription, 1))) missing.delete(id)
  }

  describe.runIf(packs === true)('messages with several tickets', () => {
    it('carry the tickets of a lane in their order, and are forgotten when all are acked', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(20, { perMessage: 10 })
      const waits = async (): Promise<number> => Number(await on.driver.depth(on.queue))
      if (!inexact) await on.until(async () => (await waits()) === 2, 'two messages wait')
      const got = await on.drain(await on.subscribe(), 20, 50)
      if (inexact) return
      expect(got.map(idOf)).toEqual(tickets.map(({ id }) => id))
      if (depth !== 'unknown') await on.until(async () => (await waits()) === 0, 'none waits')
    })

    it('are of one queue and one lane each, so that higher lanes still come first', async (test) => {
      const on = await scene(test)
      const [first, second] = [on.newQueue(), on.newQueue()]
      const mixed = Array.from({ length: 24 }, (_, index): Lane => lanes[index % 4] ?? 'normal')
      const offered = [
        await on.offer(mixed, { queue: first, silent: true }),
        await on.offer(mixed, { queue: second, silent: true }),
      ]
      await on.publish(offered.flat(), on.driver, 10)
      const got = await on.drain(await on.subscribe(on.driver, first), 24, 24)
      expect(listIds(got)).toEqual(listIds(offered[0]!))
      if (!inexact) expect(got.slice(0, 6).map(({ ticket }) => ticket.lane)).toContain('critical')
      expect(listIds(await on.drain(await on.subscribe(on.driver, second), 24, 24))).toEqual(
        listIds(offered[1]!),
      )
    })

    it('are no larger than allowed, whatever is in one call', async (test) => {
      const on = await scene(test)
      const allowed: [string, number][] = []
      const tickets = await on.offer(7, { silent: true })
      const report = await on.driver.publish(tickets, {
        ticketsPerMessage: (queue, count) => {
          allowed.push([queue, count])
          return 3
        },
      })
      if (inexact) return
      expect(listIds(report.accepted)).toEqual(listIds(tickets))
      expect(allowed).toEqual([[on.queue, 7]])
      if (depth !== 'unknown') await on.until(async () => (await on.driver.depth(on.queue)) === 3)
      expect(listIds(await on.drain(await on.subscribe(), 7))).toEqual(listIds(tickets))
    })

    it('give a worker no more than it asks for, and the rest with its next asks', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(10, { perMessage: 10 })
      const subscription = await on.subscribe()
      const got: Delivery[] = []
      while (new Set(got.map(idOf)).size < 10) {
        const some = await on.next(subscription, 3)
        // Who asks too late gets the message once more, and whole: the others of it were not asked for.
        if (!inexact) expect(some.filter(({ extra }) => extra !== true).length).toBeLessThanOrEqual(3)
        await Promise.all(some.map((delivery) => delivery.ack()))
        got.push(...some)
      }
      if (!inexact) expect([...new Set(got.map(idOf))]).toEqual(tickets.map(({ id }) => id))
    })

    it('go back whole with the first ticket that goes back, and are then delivered whole', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(6, { perMessage: 6 })
      const subscription = await on.subscribe()
      const [first, second] = await on.collect(subscription, 2, 2)
      await first?.ack()
      await second?.release()
      await subscription.close()
      const other = await on.subscribe(await on.another())
      if (inexact) return seeAll(on, other, tickets.slice(1))
      // One ask for one job gets the whole message: one claim then shows which tickets are done.
      const again = await on.next(other, 1)
      expect(listIds(again)).toEqual(listIds(tickets))
      await Promise.all(again.map((delivery) => delivery.ack()))
      if (depth === 'unknown') return
      await on.until(async () => (await on.driver.depth(on.queue)) === 0, 'none waits')
    })

    it('are not parked on a busy worker: the rest goes to others within half a second', async (test) => {
      const on = await scene(test)
      const offered = await on.offer(6, { perMessage: 6 })
      const busy = await on.subscribe()
      await on.next(busy, 1)
      await seeAll(on, await on.subscribe(await on.another()), offered.slice(1))
    })

    it('come back after a process was killed in the middle of one', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(6, { perMessage: 6 })
      const victim = await on.another()
      const [first] = await on.collect(await on.subscribe(victim), 1, 1)
      await first?.ack()
      await victim.close()
      await seeAll(on, await on.subscribe(), tickets.slice(1))
    })

    it('stand beside those with one ticket, old and new, and one job may be in several', async (test) => {
      const on = await scene(test)
      const [one] = await on.offer(1)
      const many = await on.offer(4, { perMessage: 4 })
      await on.publish([one!, one!, many[0]!], on.driver, 4)
      await seeAll(on, await on.subscribe(), [one!, ...many])
    })

    it.runIf(publishRaw === true)('may be written by hand', async (test) => {
      const on = await scene(test)
      const ticket = newTicket({ queue: on.queue })
      await on.publishRaw(JSON.stringify({ ...ticket, more: ['second', 'third'] }))
      const got = await on.drain(await on.subscribe(), 3)
      expect(got.map((each) => each.ticket)).toEqual(
        [ticket.id, 'second', 'third'].map((id) => ({ ...ticket, id })),
      )
    })
  })
}
