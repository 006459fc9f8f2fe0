import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const ada = { by: 'ada' } as const
const ordering = { key: 'account-7', onFailure: 'block' } as const

export function describeQueues(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)

  describe('queues', () => {
    it('a paused queue gives nothing out, and says who paused it', async () => {
      const on = await scene()
      await on.add()
      await on.log.pause(on.queue, ada)
      await on.log.pause(on.queue, ada)
      const elsewhere = await on.another()
      expect((await elsewhere.queues()).find(({ name }) => name === on.queue)).toMatchObject({
        paused: true,
        pausedBy: 'ada',
        ready: 1,
      })
      expect(await on.take(await on.worker())).toEqual([])
      await elsewhere.resume(on.queue, ada)
      await elsewhere.resume(on.queue, ada)
      expect(await on.take(await on.worker())).toHaveLength(1)
    })

    it('jobs that run when their queue is paused finish as they would', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.pause(on.queue, ada)
      await on.settle(worker, claim, outcomes.succeed())
      expect(await on.state(job)).toBe('succeeded')
      await on.log.resume(on.queue, ada)
    })

    it('lists every queue that has a live job, is paused, or is served, with its numbers', async () => {
      const on = await fresh()
      const [paused, served, past] = [on.newQueue(), on.newQueue(), on.newQueue()]
      await on.start()
      await on.addAll([{}, {}, { due: { delayMs: 3_600_000 } }, { ordering }, { ordering }, { ordering }])
      await on.log.pause(paused, ada)
      const worker = await on.worker({}, [served])
      const done = await on.add({ queue: past })
      await on.log.take([past], 1, worker, randomUUID())
      await on.settle(worker, { id: done.id, run: 1 }, outcomes.succeed())
      const none = { ready: 0, scheduled: 0, blocked: 0, suspended: 0, running: 0, estimated: [] }
      const empty = { paused: false, pausedBy: undefined, ...none }
      const expected = [
        { ...empty, name: on.queue, ready: 3, scheduled: 1, blocked: 2, running: 1 },
        { ...empty, name: paused, paused: true, pausedBy: 'ada' },
        { ...empty, name: served },
      ]
      const queues = await on.log.queues()
      expect(queues).toHaveLength(3)
      expect(queues).toEqual(expect.arrayContaining(expected))
    })

    it('lists the keys that wait for an operator, as many as asked for', async () => {
      const on = await fresh()
      const holder = await on.ended(outcomes.fail(), { ordering })
      const others = await on.addAll([{ ordering }, { ordering }])
      await on.ended(outcomes.fail(), { ordering: { key: 'account-8', onFailure: 'block' } })
      expect(await on.log.blockedKeys(10)).toEqual(
        expect.arrayContaining([
          { queue: on.queue, key: 'account-7', holder: holder.id, waiting: 2 },
          expect.objectContaining({ key: 'account-8', waiting: 0 }),
        ]),
      )
      expect(await on.log.blockedKeys(1)).toHaveLength(1)
      await on.log.cancel([others[0]!.id], ada)
      await on.log.skip([holder.id], ada)
      expect((await on.log.blockedKeys(10)).map(({ key }) => key)).toEqual(['account-8'])
    })

    it('a diagnosis of a log in order finds no error', async () => {
      const on = await scene()
      await on.sweep()
      const { findings } = await on.log.diagnose()
      expect(findings.filter(({ severity }) => severity === 'error')).toEqual([])
    })
  })
}
