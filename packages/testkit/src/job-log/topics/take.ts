import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes, workerRef } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeTake(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const ids = (jobs: readonly ({ readonly id: string } | undefined)[]): (string | undefined)[] =>
    jobs.map((job) => job?.id)

  describe('take', () => {
    it('grants higher lanes first, and older jobs first within a lane', async () => {
      const on = await scene()
      const [low, normal, high, critical, laterHigh, laterLow] = await on.addAll([
        { lane: 'low' },
        { lane: 'normal' },
        { lane: 'high' },
        { lane: 'critical' },
        { lane: 'high' },
        { lane: 'low' },
      ])
      const worker = await on.worker()
      expect(ids(await on.take(worker, 3))).toEqual(ids([critical, high, laterHigh]))
      expect(ids(await on.take(worker, 3))).toEqual(ids([normal, low, laterLow]))
    })

    it('grants no more than asked for, and nothing where nothing is ready', async () => {
      const on = await scene()
      await on.addAll([{}, {}, {}])
      const worker = await on.worker()
      expect(await on.take(worker, 2)).toHaveLength(2)
      expect(await on.take(worker, 2)).toHaveLength(1)
      expect(await on.take(worker, 2)).toEqual([])
    })

    it('every grant is a start, on record', async () => {
      const on = await scene()
      const job = await on.add()
      const worker = await on.worker()
      const [claim] = await on.take(worker)
      expect(claim).toMatchObject({ id: job.id, run: 1, attempt: 1, job: { payload: job.payload } })
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'started',
        worker: worker.id,
        data: { host: worker.host },
      })
    })

    it('takes from the queues asked for alone, the first one first, whatever the last heartbeat said', async () => {
      const on = await scene()
      const [second, third] = [on.newQueue(), on.newQueue()]
      const [inThird, inSecond, here] = await on.addAll([
        { queue: third, lane: 'critical' },
        { queue: second, lane: 'critical' },
        {},
      ])
      const worker = await on.worker({}, [])
      const [first] = await on.log.take([on.queue, second], 1, worker, randomUUID())
      expect(first?.id).toBe(here?.id)
      expect(ids(await on.log.take([on.queue, second], 10, worker, randomUUID()))).toEqual(ids([inSecond]))
      expect(await on.state(inThird!)).toBe('ready')
    })

    it('queues share what is asked for, and the first ones get what cannot be divided', async () => {
      const on = await scene()
      const queues = [on.queue, on.newQueue(), on.newQueue(), on.newQueue()]
      // The third queue has no jobs at all.
      const counts = [5, 5, 0, 1]
      for (const [at, queue] of queues.entries()) {
        await on.addAll(Array.from({ length: counts[at]! }, () => ({ queue })))
      }
      const worker = await on.worker({}, queues)
      const counted = async (max: number, order: readonly string[]): Promise<number[]> => {
        const claims = await on.log.take(order, max, worker, randomUUID())
        expect(claims.map(({ job }) => order.indexOf(job.queue))).toEqual(
          claims.map(({ job }) => order.indexOf(job.queue)).toSorted((a, b) => a - b),
        )
        return queues.map((queue) => claims.filter(({ job }) => job.queue === queue).length)
      }
      expect(await counted(2, queues.toReversed())).toEqual([0, 1, 0, 1])
      expect(await counted(3, queues)).toEqual([2, 1, 0, 0])
      expect(await counted(10, queues)).toEqual([3, 3, 0, 0])
    })

    it('a queue with many jobs leaves its neighbours their share, and takes what they leave', async () => {
      const on = await scene()
      const [small, smaller] = [on.newQueue(), on.newQueue()]
      await on.addAll([
        ...Array.from({ length: 40 }, () => ({})),
        { queue: small },
        { queue: small },
        { queue: smaller },
      ])
      const queues = [on.queue, small, smaller]
      const worker = await on.worker({}, queues)
      const claims = await on.log.take(queues, 20, worker, randomUUID())
      expect(queues.map((queue) => claims.filter(({ job }) => job.queue === queue).length)).toEqual([
        17, 2, 1,
      ])
    })

    it('with fromLowest, many queues share the grants of the lowest lanes as well', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [low, high, , otherLow, otherHigh] = await on.addAll([
        { lane: 'low' },
        { lane: 'high' },
        { lane: 'high' },
        { lane: 'low', queue: other },
        { lane: 'high', queue: other },
        { lane: 'high', queue: other },
      ])
      const worker = await on.worker({}, [on.queue, other])
      const claims = await on.log.take([on.queue, other], 4, worker, randomUUID(), { fromLowest: 2 })
      expect(ids(claims)).toEqual(ids([high, low, otherHigh, otherLow]))
    })

    it('with fromLowest, room that the first queues do not need goes to others', async () => {
      const on = await scene()
      const queues = [on.queue, ...Array.from({ length: 5 }, () => on.newQueue())]
      await on.addAll(queues.map((queue) => ({ queue })))
      const worker = await on.worker({}, queues)
      expect(await on.log.take(queues, 5, worker, randomUUID(), { fromLowest: 1 })).toHaveLength(5)
      expect(await on.log.take(queues, 5, worker, randomUUID(), { fromLowest: 1 })).toHaveLength(1)
    })

    it('takes neither blocked nor scheduled nor running nor finished jobs', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      await on.ended(outcomes.succeed())
      const { job: holder } = await on.start({ ordering })
      const [blocked, scheduled] = await on.addAll([{ ordering }, { due: { delayMs: 3_600_000 } }])
      expect(await on.take(await on.worker())).toEqual([])
      expect(await on.states([holder, blocked!, scheduled!])).toEqual(['running', 'blocked', 'scheduled'])
    })

    it('skips a paused queue', async () => {
      const on = await scene()
      const open = on.newQueue()
      await on.add()
      const [other] = await on.addAll([{ queue: open }])
      await on.log.pause(on.queue, { by: 'ada' })
      const worker = await on.worker()
      expect(ids(await on.log.take([on.queue, open], 10, worker, randomUUID()))).toEqual(ids([other]))
      await on.log.resume(on.queue, { by: 'ada' })
    })

    it('with fromLowest, so many grants go to the lowest lane that waits, and the answer is still in order', async () => {
      const on = await scene()
      const [low, lower, high, critical, higher] = await on.addAll([
        { lane: 'low' },
        { lane: 'low' },
        { lane: 'high' },
        { lane: 'critical' },
        { lane: 'high' },
      ])
      const worker = await on.worker()
      const some = await on.log.take([on.queue], 3, worker, randomUUID(), { fromLowest: 1 })
      expect(ids(some)).toEqual(ids([critical, high, low]))
      const rest = await on.log.take([on.queue], 1, worker, randomUUID(), { fromLowest: 1 })
      expect(ids(rest)).toEqual(ids([lower]))
      expect(await on.state(higher!)).toBe('ready')
    })

    it('with fromLowest, the next lowest lane follows where the lowest has too few', async () => {
      const on = await scene()
      const [normal, low, high] = await on.addAll([{ lane: 'normal' }, { lane: 'low' }, { lane: 'high' }])
      const worker = await on.worker()
      const some = await on.log.take([on.queue], 2, worker, randomUUID(), { fromLowest: 2 })
      expect(ids(some)).toEqual(ids([normal, low]))
      expect(await on.state(high!)).toBe('ready')
    })

    it('with fromLowest, jobs of one lane alone are simply taken in order', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}])
      const worker = await on.worker()
      const claims = await on.log.take([on.queue], 3, worker, randomUUID(), { fromLowest: 1 })
      expect(ids(claims)).toEqual(ids(jobs))
    })

    it('overdue jobs are those that no ticket has fetched in their grace, oldest first whatever their lane', async () => {
      const on = await scene()
      const [old, , urgent] = await on.addAll([
        { lane: 'low', publishGraceMs: 0 },
        { publishGraceMs: 3_600_000 },
        { lane: 'critical', publishGraceMs: 0 },
      ])
      const worker = await on.worker()
      await on.pass(2)
      const overdue = await on.log.take([on.queue], 10, worker, randomUUID(), { overdue: true })
      expect(ids(overdue)).toEqual(ids([old, urgent]))
    })

    it('released jobs and jobs whose predecessor has finished are overdue at once: they may get no ticket', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const { job: released, worker, claim } = await on.start()
      const [first, successor] = await on.addAll([{ ordering }, { ordering }])
      await on.settle(worker, claim, outcomes.release(true))
      await on.finish(worker, first!)
      await on.pass(2)
      const overdue = await on.log.take([on.queue], 10, worker, randomUUID(), { overdue: true })
      expect(new Set(ids(overdue))).toEqual(new Set(ids([released, successor])))
    })

    it('a worker without a lease takes nothing', async () => {
      const on = await scene()
      const job = await on.add()
      await expect(on.take(workerRef())).rejects.toMatchObject({ code: 'E_LEASE_OUT' })
      expect(await on.state(job)).toBe('ready')
    })
  })
}
