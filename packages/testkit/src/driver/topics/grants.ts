import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import { newJob, outcomes, settlement } from '../../fixtures.ts'
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
  })
}
