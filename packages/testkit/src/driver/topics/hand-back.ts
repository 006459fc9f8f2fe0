import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { Subscription } from '@errand/core/ports'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'
import { scaleLimit } from '../../slowness.ts'

export function describeHandBack(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  // A granted job belongs to the worker: a closing subscription must not take it from the handler.
  const tickets = harness.capabilities.delivers === 'tickets'

  /** A marker is published last: when it comes, everything before it would have come too. */
  const untilMarker = async (on: DriverScene, subscription: Subscription): Promise<string[]> => {
    const [marker] = await on.offer(['low'])
    const seen: string[] = []
    while (!seen.includes(marker!.id)) seen.push(...listIds(await on.drain(subscription, 1)))
    return seen.filter((id) => id !== marker!.id)
  }

  describe('ack, release and hand-back', () => {
    it('an acked ticket is forgotten: nobody gets it again', async (test) => {
      const on = await scene(test)
      await on.offer(3)
      const subscription = await on.subscribe()
      await on.drain(subscription, 3)
      await subscription.close()
      expect(await untilMarker(on, await on.subscribe(await on.another()))).toEqual([])
    })

    it('a released ticket is delivered again', async (test) => {
      const on = await scene(test)
      const [ticket] = await on.offer(1)
      const subscription = await on.subscribe()
      const [first] = await on.next(subscription, 1)
      await first?.release()
      const [second] = await on.next(subscription, 1)
      expect(second?.ticket.id).toBe(ticket?.id)
      await second?.ack()
    })

    it('a released ticket may go to another process', async (test) => {
      const on = await scene(test)
      const [ticket] = await on.offer(1)
      const mine = await on.subscribe()
      const [first] = await on.next(mine, 1)
      const other = await on.subscribe(await on.another())
      await first?.release()
      const [second] = await on.next(other, 1)
      expect(second?.ticket.id).toBe(ticket?.id)
    })

    it('some of a batch may be acked and others released', async (test) => {
      const on = await scene(test)
      await on.offer(4)
      const subscription = await on.subscribe()
      const [a, b, c, d] = await on.collect(subscription, 4)
      await Promise.all([a!.ack(), b!.release(), c!.ack(), d!.release()])
      expect(listIds(await on.drain(subscription, 2))).toEqual(listIds([b!, d!]))
    })

    it.runIf(tickets)(
      'a subscription that closes hands back what was not acked, and only that',
      async (test) => {
        const on = await scene(test)
        await on.offer(3)
        const mine = await on.subscribe()
        const [acked, ...open] = await on.collect(mine, 3)
        await acked?.ack()
        await mine.close()
        const other = await on.subscribe(await on.another())
        expect(listIds(await on.drain(other, 2))).toEqual(listIds(open))
      },
    )

    it.runIf(tickets)('a driver that closes hands back what its subscriptions held', async (test) => {
      const on = await scene(test)
      const offered = await on.offer(2)
      const other = await on.another()
      await on.collect(await on.subscribe(other), 2)
      await other.close()
      expect(listIds(await on.drain(await on.subscribe(), 2))).toEqual(listIds(offered))
    })

    it.runIf(tickets)(
      'ack and release after the subscription has closed, or a second time, do no harm',
      async (test) => {
        const on = await scene(test)
        await on.offer(2)
        const mine = await on.subscribe()
        const [first, second] = await on.collect(mine, 2)
        await first?.ack()
        await first?.ack()
        await first?.release()
        await mine.close()
        await second?.ack()
        await second?.release()
        const other = await on.subscribe()
        // The second one went back with the close. What came afterwards was too late.
        const [again] = await on.drain(other, 1)
        expect(again?.ticket.id).toBe(second?.ticket.id)
        expect(await untilMarker(on, other)).toEqual([])
      },
    )

    it('closing a subscription ends every wait on it, is idempotent and shared', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const waiting = subscription.next(5, new AbortController().signal)
      await Promise.all([subscription.close(), subscription.close()])
      await subscription.close()
      expect(await waiting).toEqual([])
      expect(await subscription.next(5, new AbortController().signal)).toEqual([])
    })

    it('no ticket is parked on a busy worker: what it did not ask for goes to others within half a second', async (test) => {
      const on = await scene(test)
      const offered = await on.offer(6)
      const busy = await on.subscribe()
      const [held] = await on.next(busy, 1)
      const since = performance.now()
      const idle = await on.subscribe(await on.another())
      const got = await on.drain(idle, 5)
      expect(listIds([held!, ...got])).toEqual(listIds(offered))
      // Half a second for the busy one to let go, and some for the way there and back.
      expect(performance.now() - since).toBeLessThan(scaleLimit(5_000))
    })

    it('a worker that asks again after a pause gets tickets as before', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      await on.offer(1)
      await on.drain(subscription, 1)
      const since = performance.now()
      // Longer than half a second without a call, so that the subscription has let go of everything.
      await on.until(() => performance.now() - since > 700)
      const offered = await on.offer(2)
      expect(listIds(await on.drain(subscription, 2))).toEqual(listIds(offered))
    })
  })
}
