import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { Delivery, QueueName, WorkerTrips } from '@errand/core/ports'
import { newJob, outcomes, settlement } from '../../fixtures.ts'
import { until } from '../../until.ts'
import type { DriverHarness } from '../harness.ts'
import { DriverScene, listIds } from '../scene.ts'

export function describeGrants(harness: DriverHarness): void {
  const scene = (test: TestContext) => DriverScene.begin(harness, test)
  const { delivers } = harness.capabilities

  describe.runIf(delivers === 'tickets')('tickets', () => {
    it('are not granted: only the log grants', async (test) => {
      const on = await scene(test)
      await on.offer(1)
      const [delivery] = await on.next(await on.subscribe(), 1)
      expect(delivery?.granted).toBeUndefined()
    })
  })

  describe.runIf(delivers === 'claims')('claims', () => {
    const serving = async (on: DriverScene) => {
      const worker = await on.worker()
      return { worker, subscription: await on.driver.subscribe(on.queue, { worker }) }
    }

    it('a delivery is granted already: the log has started the job for this worker', async (test) => {
      const on = await scene(test)
      const { worker, subscription } = await serving(on)
      const [ticket] = await on.offer(['high'])
      const [delivery] = await on.next(subscription, 1)
      expect(delivery?.granted).toMatchObject({ id: ticket?.id, run: 1, attempt: 1 })
      expect(await on.log.get(ticket!.id)).toMatchObject({ state: 'running', worker: worker.id })
      await delivery?.ack()
      const [settled] = await on.log.settle([settlement(delivery!.granted!, outcomes.succeed())], worker)
      expect(settled?.result).toBe('settled')
    })

    it('nothing is granted that was not asked for', async (test) => {
      const on = await scene(test)
      const { worker, subscription } = await serving(on)
      await on.offer(5)
      const got = await on.next(subscription, 2)
      expect(got).toHaveLength(2)
      const { claims } = await on.log.beat(worker, { queues: [on.queue], taking: true, progress: [] })
      expect(claims.map(({ id }) => id).toSorted()).toEqual(listIds(got))
    })

    it('an ack leaves the job running, a release gives it back without counting the attempt', async (test) => {
      const on = await scene(test)
      const { subscription } = await serving(on)
      await on.offer(2)
      const [kept, given] = await on.collect(subscription, 2)
      await kept?.ack()
      await given?.release()
      expect(await on.log.get(kept!.ticket.id)).toMatchObject({ state: 'running' })
      expect(await on.log.get(given!.ticket.id)).toMatchObject({ state: 'ready', run: 1, attempt: 0 })
    })

    it('an abort leaves no claim behind that nobody hears of', async (test) => {
      const on = await scene(test)
      const { worker, subscription } = await serving(on)
      for (let round = 0; round < 5; round += 1) {
        const gone = new AbortController()
        const waiting = subscription.next(3, gone.signal)
        const offering = on.offer(2)
        gone.abort()
        await offering
        const got = await waiting
        const { claims } = await on.log.beat(worker, { queues: [on.queue], taking: true, progress: [] })
        expect(claims.map(({ id }) => id).toSorted()).toEqual(listIds(got))
        await on.log.settle(
          got.map(({ granted }) => settlement(granted!, outcomes.succeed())),
          worker,
        )
      }
    })

    it('granted jobs belong to the worker: a subscription or driver that closes takes none from a handler', async (test) => {
      const on = await scene(test)
      const driver = await on.another()
      const worker = await on.worker()
      const subscription = await driver.subscribe(on.queue, { worker })
      await on.offer(2)
      const [first, second] = await on.collect(subscription, 2)
      await first?.ack()
      await subscription.close()
      await driver.close()
      expect(await on.log.get(first!.ticket.id)).toMatchObject({ state: 'running', worker: worker.id })
      expect(await on.log.get(second!.ticket.id)).toMatchObject({ state: 'running', worker: worker.id })
    })

    it('a job that nobody published is delivered all the same', async (test) => {
      const on = await scene(test)
      const { subscription } = await serving(on)
      const waiting = on.next(subscription, 1)
      const [ticket] = await on.offer(1, { silent: true })
      expect(listIds(await waiting)).toEqual([ticket?.id])
    })

    it('jobs of one ordering key come one after the other', async (test) => {
      const on = await scene(test)
      const { worker, subscription } = await serving(on)
      const ids: string[] = []
      for (let count = 0; count < 3; count += 1) {
        const job = newJob({ queue: on.queue, ordering: { key: 'k', onFailure: 'block' } })
        await on.log.append([job])
        ids.push(job.id)
      }
      const seen: string[] = []
      while (seen.length < 3) {
        const got = await on.next(subscription, 10)
        expect(got).toHaveLength(1)
        seen.push(got[0]!.ticket.id)
        await on.log.settle([settlement(got[0]!.granted!, outcomes.succeed())], worker)
      }
      expect(seen).toEqual(ids)
    })

    it('asks by the round trips of the worker, and at once when a key is about to be passed on', async (test) => {
      const on = await scene(test)
      const worker = await on.worker()
      const listeners = new Set<(queue: QueueName) => void>()
      let asked = 0
      const trips: WorkerTrips = {
        take: (queues, max, request, options) => {
          asked += 1
          return on.log.take(queues, max, worker, request, options)
        },
        listen: (woken) => {
          listeners.add(woken)
          return () => listeners.delete(woken)
        },
      }
      const subscription = await on.driver.subscribe(on.queue, { worker, trips })
      const waiting = on.next(subscription, 1)
      await until(() => asked > 0, { what: 'the first request' })
      await on.log.append([newJob({ queue: on.queue })])
      for (const woken of listeners) woken(on.queue)
      expect(await waiting).toHaveLength(1)
      await subscription.close()
      expect(listeners.size).toBe(0)
    })

    describe('one subscription for many queues, where the driver offers it', () => {
      const servingMany = async (test: TestContext, count: number) => {
        const on = await scene(test)
        if (!on.driver.subscribeMany) return test.skip()
        const queues = [on.queue, ...Array.from({ length: count - 1 }, () => on.newQueue())]
        const worker = await on.worker(queues)
        const subscription = await on.driver.subscribeMany(queues, { worker })
        return { on, queues, worker, subscription }
      }
      const listQueues = (deliveries: readonly Delivery[]): string[] =>
        deliveries.map(({ ticket }) => ticket.queue)

      it('brings the jobs of all of them with one request, a share of each', async (test) => {
        const { on, queues, subscription } = await servingMany(test, 4)
        for (const queue of queues) await on.log.append([newJob({ queue }), newJob({ queue })])
        const got = await on.next(subscription, 4)
        expect(listQueues(got).toSorted()).toEqual(queues.toSorted())
      })

      it('a queue with many jobs does not hold up the only job of its neighbour', async (test) => {
        const { on, queues, subscription } = await servingMany(test, 2)
        await on.log.append(Array.from({ length: 1_000 }, () => newJob({ queue: queues[0]! })))
        expect(listQueues(await on.next(subscription, 3))).toEqual([queues[0], queues[0], queues[0]])
        await on.log.append([newJob({ queue: queues[1]! })])
        await on.log.notify([`queue:${queues[1]!}`])
        const next = [await on.next(subscription, 1), await on.next(subscription, 1)].flat()
        expect(listQueues(next)).toContain(queues[1])
      })

      it('where fewer slots than queues are free, the queues take turns', async (test) => {
        const { on, queues, subscription } = await servingMany(test, 5)
        await on.log.append(queues.flatMap((queue) => Array.from({ length: 6 }, () => newJob({ queue }))))
        const got: Delivery[] = []
        while (got.length < 20) got.push(...(await on.next(subscription, 2)))
        const counts = queues.map((queue) => listQueues(got).filter((each) => each === queue).length)
        // One in ten goes to the lowest lane that waits, of whichever queue is first then.
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(3)
        expect(Math.max(...counts)).toBeLessThanOrEqual(5)
      })

      it('a queue that is woken is served, and jobs that nobody published as well', async (test) => {
        const { on, queues, subscription } = await servingMany(test, 3)
        const waiting = on.next(subscription, 1)
        await on.log.append([newJob({ queue: queues[2]! })], { wake: [`queue:${queues[2]!}`] })
        expect(listQueues(await waiting)).toEqual([queues[2]])
        const again = on.next(subscription, 1)
        await on.log.append([newJob({ queue: queues[1]! })])
        expect(listQueues(await again)).toEqual([queues[1]])
      })
    })
  })
}
