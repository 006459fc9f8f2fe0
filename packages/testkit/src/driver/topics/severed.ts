import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { isErrandError } from '@errand/core/ports'
import type { Delivery, Subscription } from '@errand/core/ports'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

export function describeSevered(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)

  /** Does what the worker does: subscribes again after a loss, until tickets come. */
  const rebuild = async (on: DriverScene, count: number): Promise<Delivery[]> => {
    const got: Delivery[] = []
    let subscription: Subscription | undefined
    await on.until(async () => {
      try {
        subscription ??= await on.subscribe()
        const some = await on.next(subscription, 10)
        await Promise.all(some.map((delivery) => delivery.ack()))
        got.push(...some)
      } catch (error) {
        expect(isErrandError(error)).toBe(true)
        subscription = undefined
      }
      return new Set(listIds(got)).size >= count
    }, 'tickets come again')
    return got
  }

  describe.runIf(harness.capabilities.sever === true)('a severed connection', () => {
    it('throws at a wait for deliveries, or is repaired unseen; tickets come again either way', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const gone = new AbortController()
      const waiting = subscription.next(1, gone.signal).then(
        (deliveries) => deliveries,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'E_DRIVER' })
          return []
        },
      )
      await on.sever()
      gone.abort()
      await waiting
      await subscription.close()
      const tickets = await on.until(() => on.offer(3).catch(() => undefined), 'publishing works again')
      expect(listIds(await rebuild(on, 3))).toEqual(expect.arrayContaining(listIds(tickets)))
    })

    it('brings back the tickets that were delivered and not acked', async (test) => {
      const on = await scene(test)
      const tickets = await on.offer(3)
      const subscription = await on.subscribe()
      await on.collect(subscription, 3)
      await on.sever()
      await subscription.close()
      expect([...new Set(listIds(await rebuild(on, 3)))]).toEqual(listIds(tickets))
    })

    it('loses no ticket that was reported as accepted', async (test) => {
      const on = await scene(test)
      const accepted: string[] = []
      for (let round = 0; round < 6; round += 1) {
        const tickets = await on.offer(20, { silent: true })
        const publishing = on.driver.publish(tickets).then(
          (report) => accepted.push(...listIds(report.accepted)),
          (error: unknown) => expect(error).toMatchObject({ code: 'E_DRIVER' }),
        )
        if (round % 2 === 1) await on.sever()
        await publishing
      }
      expect(accepted.length).toBeGreaterThan(0)
      const got = await rebuild(on, accepted.length)
      for (const id of accepted) expect(listIds(got)).toContain(id)
    })

    it('does not make ack, release or close throw: the tickets come back by themselves', async (test) => {
      const on = await scene(test)
      await on.offer(2)
      const subscription = await on.subscribe()
      const [first, second] = await on.collect(subscription, 2)
      await on.sever()
      await first?.ack()
      await second?.release()
      await subscription.close()
    })
  })
}
