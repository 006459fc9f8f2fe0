import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeBeat(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)

  describe('beat', () => {
    it('the first heartbeat registers the worker, and every process can see it', async () => {
      const on = await scene()
      const before = await on.now()
      const worker = await on.worker({ label: 'thumbnailer', host: 'box-3', pid: 4_711 })
      const elsewhere = await on.another()
      const listed = (await elsewhere.workers()).find(({ id }) => id === worker.id)
      expect(listed).toMatchObject({
        id: worker.id,
        host: 'box-3',
        pid: 4_711,
        label: 'thumbnailer',
        queues: [on.queue],
        taking: true,
        why: undefined,
        alive: true,
        running: 0,
        stopping: false,
      })
      expect(listed?.startedAt).toBeGreaterThanOrEqual(before)
    })

    it('a heartbeat brings the row up to date: what it serves, whether it takes, and why not', async () => {
      const on = await scene()
      const worker = await on.worker()
      const own = async () => (await on.log.workers()).find(({ id }) => id === worker.id)
      const first = await own()
      await on.start({}, worker)
      await on.pass(5)
      const other = on.newQueue()
      await on.beat(worker, { queues: [on.queue, other], taking: false, why: 'no free slot' })
      const second = await own()
      expect(second).toMatchObject({
        queues: [on.queue, other],
        taking: false,
        why: 'no free slot',
        running: 1,
      })
      expect(second?.startedAt).toBe(first?.startedAt)
      expect(second?.lastSeen).toBeGreaterThan(first?.lastSeen ?? Infinity)
    })

    it('says how many live workers serve each queue, and the slots of the one that has the fewest', async () => {
      const on = await scene()
      const [first, second] = [await on.worker(), await on.worker()]
      const other = on.newQueue()
      const serving = async (queue: string) => (await on.log.served()).find((each) => each.queue === queue)
      await on.beat(first, { queues: [on.queue, other], slots: { [on.queue]: 10, [other]: 4 } })
      await on.beat(second, { queues: [on.queue], slots: { [on.queue]: 2 } })
      expect(await serving(on.queue)).toEqual({ queue: on.queue, workers: 2, slots: 2 })
      expect(await serving(other)).toEqual({ queue: other, workers: 1, slots: 4 })
      // A worker of an older build does not tell its slots.
      await on.beat(second, { queues: [on.queue, other] })
      expect(await serving(on.queue)).toEqual({ queue: on.queue, workers: 2, slots: undefined })
      expect(await serving(other)).toEqual({ queue: other, workers: 2, slots: undefined })
      await on.log.leave(second)
      expect(await serving(on.queue)).toEqual({ queue: on.queue, workers: 1, slots: 10 })
      await on.log.leave(first)
      expect(await serving(on.queue)).toBeUndefined()
    })

    it('every heartbeat answers the claims that the log holds for the worker, and nobody else’s', async () => {
      const on = await scene()
      const worker = await on.worker()
      expect((await on.beat(worker)).claims).toEqual([])
      const mine = await on.start({}, worker)
      await on.start()
      expect((await on.beat(worker)).claims).toEqual([{ id: mine.job.id, run: 1 }])
      await on.settle(worker, mine.claim, outcomes.succeed())
      expect((await on.beat(worker)).claims).toEqual([])
    })

    it('a claim that was lost is no longer listed: its worker learns that it must abort', async () => {
      const on = await scene()
      const { job, worker } = await on.start({ timeoutMs: 20 }, await on.worker({ graceMs: 0 }))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect((await on.beat(worker)).claims).toEqual([])
    })

    it('a heartbeat says which queues are paused, of all', async () => {
      const on = await scene()
      const other = on.newQueue()
      const worker = await on.worker()
      await on.log.pause(on.queue, { by: 'ada' })
      await on.log.pause(other, { by: 'ada' })
      expect((await on.beat(worker)).paused).toEqual(expect.arrayContaining([on.queue, other]))
      await on.log.resume(on.queue, { by: 'ada' })
      await on.log.resume(other, { by: 'ada' })
      const { paused } = await on.beat(worker)
      expect(paused).not.toContain(on.queue)
      expect(paused).not.toContain(other)
    })

    it('a heartbeat says when an operator wants the worker to stop', async () => {
      const on = await fresh()
      const [first, second] = [await on.worker(), await on.worker()]
      expect((await on.beat(first)).stop).toBe(false)
      expect(await on.log.stopWorkers(first.id)).toBe(1)
      expect((await on.beat(first)).stop).toBe(true)
      expect((await on.beat(second)).stop).toBe(false)
      expect((await on.log.workers()).find(({ id }) => id === first.id)?.stopping).toBe(true)
      expect(await on.log.stopWorkers(randomUUID())).toBe(0)
      expect(await on.log.stopWorkers(undefined)).toBe(2)
      expect((await on.beat(second)).stop).toBe(true)
    })

    it('progress is an event and can be read from anywhere', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      expect((await on.record(job)).progress).toBeUndefined()
      await on.beat(worker, { progress: [{ id: job.id, run: claim.run, value: 0.25, message: 'a quarter' }] })
      await on.beat(worker, { progress: [{ id: job.id, run: claim.run, value: 0.5 }] })
      expect((await on.record(job)).progress).toEqual({ value: 0.5, message: undefined })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'progressed', 'progressed'])
      const [, , quarter] = await on.events(job)
      expect(quarter).toMatchObject({
        state: 'running',
        version: 3,
        data: { progress: 0.25, message: 'a quarter' },
      })
    })

    it('progress of a run that is no longer the worker’s is dropped', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const stranger = await on.worker()
      await on.beat(stranger, { progress: [{ id: job.id, run: claim.run, value: 0.9 }] })
      await on.beat(worker, { progress: [{ id: job.id, run: claim.run + 1, value: 0.9 }] })
      await on.beat(worker, { progress: [{ id: randomUUID(), run: 1, value: 0.9 }] })
      expect((await on.record(job)).progress).toBeUndefined()
      await on.settle(worker, claim, outcomes.succeed())
      await on.beat(worker, { progress: [{ id: job.id, run: claim.run, value: 0.9 }] })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
    })

    it('a worker that leaves is gone from the list; leaving twice does no harm', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.log.leave(worker)
      await on.log.leave(worker)
      expect((await on.log.workers()).map(({ id }) => id)).not.toContain(worker.id)
    })
  })
}
