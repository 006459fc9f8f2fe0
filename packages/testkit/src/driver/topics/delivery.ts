import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { lanes } from '@errand/core/ports'
import type { Lane } from '@errand/core/ports'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

export function describeDelivery(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { delivers, inexact } = harness.capabilities

  describe('delivery', () => {
    it('what is published is accepted, and delivered as it was', async (test) => {
      const on = await scene(test)
      const [ticket] = await on.offer(['high'])
      const [delivery] = await on.next(await on.subscribe(), 1)
      const { id, queue, lane } = ticket!
      expect(delivery?.ticket).toMatchObject({ id, queue, lane })
      if (delivers === 'tickets') expect(delivery?.ticket).toEqual(ticket)
    })

    it('publishing nothing is no error', async (test) => {
      const on = await scene(test)
      expect(await on.driver.publish([])).toEqual({ accepted: [], refused: [] })
    })

    it('a batch for several queues and lanes arrives whole, each ticket in its queue', async (test) => {
      const on = await scene(test)
      const [first, second] = [on.newQueue(), on.newQueue()]
      const offered = [
        await on.offer(['low', 'critical', 'normal'], { queue: first, silent: true }),
        await on.offer(['high', 'low'], { queue: second, silent: true }),
      ]
      await on.publish(offered.flat())
      const got = [
        await on.drain(await on.subscribe(on.driver, first), 3),
        await on.drain(await on.subscribe(on.driver, second), 2),
      ]
      expect(got.map(listIds)).toEqual(offered.map(listIds))
    })

    it('hundreds of tickets are published in one call and all delivered, each once', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(
        Array.from({ length: 300 }, (_, index): Lane => lanes[index % 4] ?? 'normal'),
      )
      const got = await on.drain(await on.subscribe(), 300, 50)
      expect(listIds(got)).toEqual(listIds(tickets))
    })

    it('next waits for the first ticket, from any publisher', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const waiting = on.next(subscription, 5)
      const [ticket] = await on.offer(1, { driver: await on.another() })
      expect(listIds(await waiting)).toEqual([ticket?.id])
    })

    it('next gives no more than it was asked for, and the rest with the next calls', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(7)
      const subscription = await on.subscribe()
      const got = []
      while (got.length < 7) {
        const some = await on.next(subscription, 3)
        expect(some.length).toBeGreaterThan(0)
        expect(some.length).toBeLessThanOrEqual(3)
        await Promise.all(some.map((delivery) => delivery.ack()))
        got.push(...some)
      }
      expect(listIds(got)).toEqual(listIds(tickets))
    })

    it('next answers nothing when its signal is aborted already, or aborts while it waits', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      expect(await subscription.next(5, AbortSignal.abort())).toEqual([])
      const gone = new AbortController()
      const waiting = subscription.next(5, gone.signal)
      await on.until(() => true)
      gone.abort()
      expect(await waiting).toEqual([])
    })

    it('what comes after an abort is not lost: the next call gets it', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const got: string[] = []
      const expected: string[] = []
      for (let round = 0; round < 5; round += 1) {
        const gone = new AbortController()
        const waiting = subscription.next(5, gone.signal)
        const offering = on.offer(2)
        gone.abort()
        expected.push(...listIds(await offering))
        const some = await waiting
        await Promise.all(some.map((delivery) => delivery.ack()))
        got.push(...listIds(some))
      }
      got.push(...listIds(await on.drain(subscription, expected.length - got.length)))
      expect(got.toSorted()).toEqual(expected.toSorted())
    })

    it('higher lanes come first, in one call and over several', async (test) => {
      const on = await scene(test)
      const sorted = (got: readonly Lane[]) => got.toSorted((a, b) => lanes.indexOf(a) - lanes.indexOf(b))
      const order = await on.quickly(async (queue) => {
        await on.offer(['low', 'normal', 'high', 'critical'], { queue })
        const subscription = await on.subscribe(on.driver, queue)
        const takeLanes = async (): Promise<Lane[]> => {
          const some = await on.next(subscription, 1)
          await Promise.all(some.map((delivery) => delivery.ack()))
          return some.map(({ ticket }) => ticket.lane)
        }
        return async () => [await takeLanes(), await takeLanes(), await takeLanes(), await takeLanes()].flat()
      })
      expect(inexact ? sorted(order) : order).toEqual(lanes)

      // It needs a queue of its own. To a waiting subscription, tickets of different lanes come as the broker sends
      // them. A subscription that has just been closed may have taken some with it.
      const together = await on.quickly(async (queue) => {
        await on.offer(['low', 'critical', 'normal', 'critical'], { queue })
        const subscription = await on.subscribe(on.driver, queue)
        return () => on.collect(subscription, 4, 4)
      })
      if (!inexact) expect(together[0]?.ticket.lane).toBe('critical')
      expect(sorted(together.map(({ ticket }) => ticket.lane))).toEqual([
        'critical',
        'critical',
        'normal',
        'low',
      ])
    })

    it('a critical ticket overtakes those that were waiting', async (test) => {
      const on = await scene(test)
      await on.offer(5)
      const subscription = await on.subscribe()
      await on.drain(subscription, 1, 1)
      await on.offer(['critical'])
      // A ticket that was on its way already may still come before it.
      const got = await on.drain(subscription, inexact ? 5 : 2, 1)
      expect(got.map(({ ticket }) => ticket.lane)).toContain('critical')
    })

    it('high lanes without end do not starve the low ones', async (test) => {
      const on = await scene(test)
      await on.offer([...Array.from({ length: 40 }, (): Lane => 'critical'), 'low'])
      const subscription = await on.subscribe()
      const order: Lane[] = []
      while (order.length < 41) {
        order.push(...(await on.drain(subscription, 1, 1)).map(({ ticket }) => ticket.lane))
      }
      if (inexact) return
      expect(order.indexOf('low')).toBeLessThan(40)
      expect(order.slice(0, 5)).toEqual(['critical', 'critical', 'critical', 'critical', 'critical'])
    })
  })
}
