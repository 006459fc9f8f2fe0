import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

export function describeQueues(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { depth, delivers, packs, wakes, inexact } = harness.capabilities

  describe('queues', () => {
    it('says what it is: the version of the port, its name, and what it can do', async (test) => {
      const { driver } = await scene(test)
      expect(driver.port).toBe(1)
      expect(driver.name).toMatch(/\w/)
      expect(driver.capabilities).toEqual({ delivers, depth, packs, wakes })
    })

    it('a subscription gets the tickets of its own queue alone', async (test) => {
      const on = await scene(test)
      const other = on.newQueue()
      const [mine] = await on.offer(1)
      const [theirs] = await on.offer(1, { queue: other })
      const [here] = await on.drain(await on.subscribe(), 1)
      const [there] = await on.drain(await on.subscribe(on.driver, other), 1)
      expect([here?.ticket.id, there?.ticket.id]).toEqual([mine?.id, theirs?.id])
    })

    it('queue names may hold whatever core lets through', async (test) => {
      const on = await scene(test)
      for (const queue of [`A.b-c_d.${on.queue}`, `${on.queue}${'x'.repeat(64 - on.queue.length)}`]) {
        const [ticket] = await on.offer(1, { queue })
        const [delivery] = await on.drain(await on.subscribe(on.driver, queue), 1)
        expect(delivery?.ticket).toMatchObject({ id: ticket?.id, queue })
      }
    })

    it.runIf(depth !== 'unknown')(
      'the depth of a queue is what waits in it, over all lanes',
      async (test) => {
        const on = await scene(test)
        expect(await on.driver.depth(on.queue)).toBe(0)
        await on.offer(['low', 'critical', 'normal', 'normal'])
        const enough = (waiting: number | undefined) => (inexact ? Number(waiting) >= 4 : waiting === 4)
        await on.until(async () => enough(await on.driver.depth(on.queue)), 'four tickets wait')
        await on.offer(2, { queue: on.newQueue() })
        const subscription = await on.subscribe()
        await on.drain(subscription, 4)
        await on.until(async () => {
          // Takes copies, if the broker makes them.
          if (inexact) await subscription.next(10, AbortSignal.timeout(50))
          return (await on.driver.depth(on.queue)) === 0
        }, 'none waits')
      },
    )

    it.runIf(depth === 'unknown')(
      'a driver that cannot know its depth says so, and never 0',
      async (test) => {
        const on = await scene(test)
        expect(await on.driver.depth(on.queue)).toBeUndefined()
        await on.offer(2)
        expect(await on.driver.depth(on.queue)).toBeUndefined()
      },
    )

    it.runIf(delivers === 'tickets')(
      'purging a queue removes its tickets, and no other queue’s',
      async (test) => {
        const on = await scene(test)
        const other = on.newQueue()
        await on.offer(['low', 'critical', 'normal'])
        const [spared] = await on.offer(1, { queue: other })
        await on.driver.purge(on.queue)
        if (depth !== 'unknown')
          await on.until(async () => (await on.driver.depth(on.queue)) === 0, 'none waits')
        const tickets = await on.offer(2)
        expect(listIds(await on.drain(await on.subscribe(), 2))).toEqual(listIds(tickets))
        const [delivery] = await on.drain(await on.subscribe(on.driver, other), 1)
        expect(delivery?.ticket.id).toBe(spared?.id)
      },
    )

    it.runIf(delivers === 'claims')(
      'purging removes tickets, of which there are none: the jobs stay',
      async (test) => {
        const on = await scene(test)
        const tickets = await on.offer(2)
        await on.driver.purge(on.queue)
        expect(listIds(await on.drain(await on.subscribe(), 2))).toEqual(listIds(tickets))
      },
    )

    it('a queue that nobody has used yet can be purged', async (test) => {
      const on = await scene(test)
      await on.driver.purge(on.newQueue())
    })
  })

  describe('closing a driver', () => {
    it('is idempotent and shared: a second caller awaits the same close', async (test) => {
      const on = await scene(test)
      const driver = await on.another()
      await on.subscribe(driver)
      const closings = [driver.close(), driver.close()]
      await Promise.all(closings)
      await driver.close()
    })

    it('is possible before anything was done with it', async (test) => {
      const on = await scene(test)
      const driver = await on.another()
      await driver.close()
    })

    it('ends every wait for deliveries', async (test) => {
      const on = await scene(test)
      const driver = await on.another()
      const subscription = await on.subscribe(driver)
      const waiting = subscription.next(1, new AbortController().signal)
      await driver.close()
      expect(await waiting).toEqual([])
    })

    it('refuses subscriptions from then on, with a code', async (test) => {
      const on = await scene(test)
      const driver = await on.another()
      await driver.close()
      await expect(driver.subscribe(on.queue, { worker: await on.worker() })).rejects.toMatchObject({
        code: 'E_CLOSED',
      })
      if (delivers === 'tickets')
        await expect(on.offer(1, { driver })).rejects.toMatchObject({ code: 'E_CLOSED' })
    })

    it('leaves other processes alone', async (test) => {
      const on = await scene(test)
      const subscription = await on.subscribe()
      const waiting = on.next(subscription, 1)
      const driver = await on.another()
      await on.subscribe(driver)
      await driver.close()
      const [ticket] = await on.offer(1)
      expect(listIds(await waiting)).toEqual([ticket?.id])
    })
  })
}
