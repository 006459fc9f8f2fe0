import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const second = 1_000
const minute = 60 * second

export function describeSweep(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const { advance } = harness.capabilities

  describe('sweep', () => {
    it('an idle log has nothing to do', async () => {
      const on = await fresh()
      expect(await on.sweep({ republish: true })).toEqual({
        ran: true,
        tickets: [],
        republished: [],
        failed: [],
        lost: 0,
        full: false,
        schedules: [],
        nextDueInMs: undefined,
      })
    })

    it('a job that was appended and never published is published when its grace is over', async () => {
      const on = await scene()
      const job = await on.add({ publishGraceMs: 0 })
      const { tickets } = await on.sweepUntil(async () => true, { republish: true })
      expect(tickets).toEqual([on.ticket(job)])
    })

    it('a job whose ticket is under way is left alone for its grace', async () => {
      const on = await scene()
      await on.add({ publishGraceMs: 30 * second })
      expect(await on.sweep({ republish: true })).toMatchObject({ tickets: [], republished: [] })
    })

    it('what is published again says so, and is not listed again at once', async () => {
      const on = await scene()
      const job = await on.add({ publishGraceMs: 0 })
      await on.pass(2)
      const first = await on.sweep({ republish: true })
      expect(first).toMatchObject({ tickets: [on.ticket(job)], republished: [on.ticket(job)] })
      expect(await on.sweep({ republish: true })).toMatchObject({ tickets: [], republished: [] })
      expect(await on.state(job)).toBe('ready')
      expect(await on.story(job)).toEqual(['dispatched'])
    })

    it('where nothing is to be republished, overdue jobs are not touched', async () => {
      const on = await scene()
      const job = await on.add({ publishGraceMs: 0 })
      await on.pass(2)
      expect(await on.sweep({ republish: false })).toMatchObject({ tickets: [], republished: [] })
      expect((await on.sweep({ republish: true })).republished).toEqual([on.ticket(job)])
    })

    it('overdue jobs of queues that are held back are not touched: their turn comes later', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [held, open] = await on.addAll([{ publishGraceMs: 0 }, { publishGraceMs: 0, queue: other }])
      await on.pass(2)
      const first = await on.sweep({ republish: true, skipQueues: [on.queue] })
      expect(first.republished.map(({ id }) => id)).toEqual([open?.id])
      const second = await on.sweep({ republish: true })
      expect(second.republished.map(({ id }) => id)).toEqual([held?.id])
    })

    it('overdue jobs of a queue that another live worker serves are left to it, untouched', async () => {
      const on = await scene()
      const other = on.newQueue()
      await on.worker({}, [other])
      const [own, theirs] = await on.addAll([{ publishGraceMs: 0 }, { publishGraceMs: 0, queue: other }])
      await on.pass(2)
      const first = await on.sweep({ republish: true, queues: [on.queue] })
      expect(first.republished.map(({ id }) => id)).toEqual([own?.id])
      const second = await on.sweep({ republish: true, queues: [other] })
      expect(second.republished.map(({ id }) => id)).toEqual([theirs?.id])
    })

    it('any relay publishes overdue jobs of a queue that nobody serves, also when its worker is dead or gone', async () => {
      const on = await scene()
      const [never, dead, gone] = [on.newQueue(), on.newQueue(), on.newQueue()]
      await on.vanish(await on.worker({ leaseMs: 30 }, [dead]))
      await on.log.leave(await on.worker({}, [gone]))
      const jobs = await on.addAll([never, dead, gone].map((queue) => ({ publishGraceMs: 0, queue })))
      await on.pass(2)
      const { republished } = await on.sweep({ republish: true, queues: [on.queue] })
      expect(republished.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
    })

    it('overdue jobs of a paused queue are not published; resuming makes all of its ready jobs due at once', async () => {
      const on = await scene()
      const jobs = await on.addAll([{ publishGraceMs: 0 }, { publishGraceMs: 3_600_000 }])
      await on.log.pause(on.queue, { by: 'ada' })
      await on.pass(2)
      const paused = await on.sweep({ republish: true })
      expect([paused.tickets, paused.republished]).toEqual([[], []])
      await on.log.resume(on.queue, { by: 'ada' })
      await on.pass(2)
      const { republished } = await on.sweep({ republish: true })
      expect(republished.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
    })

    it('neither running nor finished nor blocked nor scheduled jobs are published', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      await on.start({ ordering, publishGraceMs: 0 })
      await on.addAll([
        { ordering, publishGraceMs: 0 },
        { due: { delayMs: 3_600_000 }, publishGraceMs: 0 },
      ])
      await on.ended(outcomes.succeed(), { publishGraceMs: 0 })
      await on.pass(2)
      expect((await on.sweep({ republish: true })).republished).toEqual([])
    })

    it('released, unblocked and replayed jobs are due at once: the next sweep publishes them', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const { job: released, worker, claim } = await on.start()
      await on.settle(worker, claim, outcomes.release(true))
      const [first, unblocked] = await on.addAll([{ ordering }, { ordering }])
      await on.finish(worker, first!)
      const replayed = await on.ended(outcomes.succeed(), {}, worker)
      await on.log.replay([replayed.id], { by: 'ada' })
      await on.pass(2)
      const { republished } = await on.sweep({ republish: true })
      expect(republished.map(({ id }) => id)).toEqual(
        expect.arrayContaining([released.id, unblocked?.id, replayed.id]),
      )
    })

    it('a pass that fills its limit says so, and passes go on until everything is done', async () => {
      const on = await fresh()
      const jobs = await on.addAll(Array.from({ length: 7 }, () => ({ due: { delayMs: 1 } })))
      await on.pass(5)
      const reports = [
        await on.sweep({ limit: 3 }),
        await on.sweep({ limit: 3 }),
        await on.sweep({ limit: 3 }),
      ]
      expect(reports.map(({ full, tickets }) => [full, tickets.length])).toEqual([
        [true, 3],
        [true, 3],
        [false, 1],
      ])
      expect(new Set(reports.flatMap(({ tickets }) => tickets.map(({ id }) => id)))).toEqual(
        new Set(jobs.map(({ id }) => id)),
      )
    })

    it('lost runs are handled in pieces too, each once', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll(Array.from({ length: 5 }, () => ({})))
      await on.take(worker)
      await on.vanish(worker)
      const { tickets } = await on.sweepUntil(
        async () => (await on.states(jobs)).every((state) => state === 'ready'),
        { limit: 2 },
      )
      expect(new Set(tickets.map(({ id }) => id))).toEqual(new Set(jobs.map(({ id }) => id)))
      for (const job of jobs) expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost'])
    })

    it('lost runs of a paused queue are given back, without tickets', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.log.pause(on.queue, { by: 'ada' })
      await on.vanish(worker)
      const { tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(tickets).toEqual([])
    })

    it('a job that has become due or was given back is not called republished: its ticket is its first', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.vanish(worker)
      const republished: string[] = []
      await on.until(async () => {
        const report = await on.sweep({ republish: true })
        republished.push(...report.republished.map(({ id }) => id))
        return report.tickets.some(({ id }) => id === job.id)
      })
      expect(republished).toEqual([])
    })

    it('many relays at once publish a due job once', async () => {
      const on = await fresh()
      const jobs = await on.addAll(Array.from({ length: 30 }, () => ({ due: { delayMs: 1 } })))
      const logs = [on.log, await on.another(), await on.another()]
      await on.pass(5)
      const seen: string[] = []
      await on.until(async () => {
        const reports = await Promise.all(
          [...logs, ...logs].map((log) =>
            log.sweep({ limit: 10, republish: true, queues: [], skipQueues: [] }),
          ),
        )
        seen.push(...reports.flatMap(({ tickets }) => tickets.map(({ id }) => id)))
        return reports.every(({ ran, tickets }) => !ran || tickets.length === 0)
      })
      expect(seen.toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
    })

    it.runIf(advance)('the grace doubles with every confirmed publish, up to an hour', async () => {
      const on = await scene()
      const job = await on.add({ publishGraceMs: 0 })
      await on.jump(second)
      const first = await on.sweep({ republish: true })
      await on.log.published(first.republished)
      for (const grace of [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]) {
        await on.jump((grace - 10) * second)
        const early = await on.sweep({ republish: true })
        expect(early.republished, `before ${grace} s`).toEqual([])
        await on.jump(20 * second)
        const { republished } = await on.sweep({ republish: true })
        expect(republished, `after ${grace} s`).toEqual([on.ticket(job)])
        await on.log.published(republished)
      }
    })

    it.runIf(advance)('a publish that was not confirmed does not make the grace longer', async () => {
      const on = await fresh()
      await on.add({ publishGraceMs: 0 })
      await on.jump(1)
      for (let publish = 0; publish < 5; publish += 1) {
        expect((await on.sweep({ republish: true })).republished).toHaveLength(1)
        await on.jump(29 * second)
        expect((await on.sweep({ republish: true })).republished).toHaveLength(0)
        await on.jump(2 * second)
      }
    })

    it.runIf(advance)('a job that becomes ready again starts over with its grace', async () => {
      const on = await fresh()
      const job = await on.add({ publishGraceMs: 0 })
      for (let publish = 0; publish < 4; publish += 1) {
        await on.jump(10 * minute)
        await on.log.published((await on.sweep({ republish: true })).republished)
      }
      const worker = await on.worker()
      await on.settle(worker, await on.claim(worker, job), outcomes.release(true))
      await on.jump(1)
      expect((await on.sweep({ republish: true })).republished).toEqual([on.ticket(job)])
      await on.jump(31 * second)
      expect((await on.sweep({ republish: true })).republished).toEqual([on.ticket(job)])
    })

    it('a confirmed publish of a job that is gone, running or unknown is no error', async () => {
      const on = await scene()
      const { job } = await on.start()
      await on.log.published([on.ticket(job), on.ticket({ id: randomUUID() })])
      await on.log.published([])
      expect(await on.state(job)).toBe('running')
    })

    it('passing on keys where none is pending is nothing', async () => {
      const on = await scene()
      expect(await on.log.passNotes(100)).toEqual([])
    })
  })
}
