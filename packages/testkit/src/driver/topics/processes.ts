import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

export function describeProcesses(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { delivers } = harness.capabilities

  describe('many processes', () => {
    it('drain one queue together: every ticket goes to one of them, none is left', async (test) => {
      const on = await scene(test)
      const drivers = [on.driver, await on.another(), await on.another(), await on.another()]
      const tickets = await on.offer(120)
      const all = new AbortController()
      const got: string[] = []
      await Promise.all(
        drivers.map(async (driver) => {
          const subscription = await on.subscribe(driver)
          while (got.length < 120) {
            const gone = new AbortController()
            const stop = () => gone.abort()
            all.signal.addEventListener('abort', stop, { once: true })
            const some = await subscription.next(4, all.signal.aborted ? all.signal : gone.signal)
            await Promise.all(some.map((delivery) => delivery.ack()))
            got.push(...listIds(some))
            all.signal.removeEventListener('abort', stop)
            if (got.length >= 120) all.abort()
          }
        }),
      )
      expect(got.toSorted()).toEqual(listIds(tickets))
    })

    it('wait together: one that gives up takes nothing from the others', async (test) => {
      const on = await scene(test)
      const gone = new AbortController()
      const quitter = await on.subscribe()
      const stayer = await on.subscribe(await on.another())
      const quitting = quitter.next(1, gone.signal)
      const staying = on.next(stayer, 1)
      await on.until(() => true)
      gone.abort()
      expect(await quitting).toEqual([])
      const [ticket] = await on.offer(1)
      expect(listIds(await staying)).toEqual([ticket?.id])
    })

    it('publish at the same time, and every ticket arrives', async (test) => {
      const on = await scene(test)
      const drivers = [on.driver, await on.another(), await on.another()]
      const offered = await Promise.all(
        Array.from({ length: 12 }, (_, index) => on.offer(5, { driver: drivers[index % 3]! })),
      )
      expect(listIds(await on.drain(await on.subscribe(), 60, 20))).toEqual(listIds(offered.flat()))
    })

    it('one process may serve several queues at once', async (test) => {
      const on = await scene(test)
      const queues = [on.newQueue(), on.newQueue(), on.newQueue()]
      const subscriptions = await Promise.all(queues.map((queue) => on.subscribe(on.driver, queue)))
      const waiting = subscriptions.map((subscription) => on.next(subscription, 1))
      const other = await on.another()
      const offered = await Promise.all(queues.map((queue) => on.offer(1, { queue, driver: other })))
      const got = await Promise.all(waiting)
      expect(got.map(listIds)).toEqual(offered.map(listIds))
    })

    // If claims are delivered, the log notices: the worker's lease runs out.
    it.runIf(delivers === 'tickets')(
      'a process that was killed leaves its tickets to the others',
      async (test) => {
        const on = await scene(test)
        const tickets = await on.offer(3)
        const victim = await on.another()
        await on.collect(await on.subscribe(victim), 3)
        // This is as far as a test in one process can go: its connections end without an ack.
        await victim.close()
        expect(listIds(await on.drain(await on.subscribe(), 3))).toEqual(listIds(tickets))
      },
    )
  })
}
