import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { JobFilter } from '@errand/core/ports'
import { encoded, failure, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

export function describeHistory(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  const listed = async (on: Scene, filter: JobFilter = {}): Promise<string[]> =>
    (await on.log.list({ name: on.jobName, ...filter }, { limit: 100 })).map(({ id }) => id)

  describe('history', () => {
    it('a job that nobody knows has no record and no events', async () => {
      const on = await scene()
      expect(await on.log.get(randomUUID())).toBeUndefined()
      expect(await on.log.readHistory(randomUUID())).toEqual([])
    })

    it('the whole life of a job can be read: every event with its version, state and counters', async () => {
      const on = await scene()
      const job = await on.add()
      await on.lose(job)
      const worker = await on.worker()
      await on.settle(worker, await on.claim(worker, job), outcomes.retry(0, failure('first')))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.settle(worker, await on.claim(worker, job), outcomes.exhaust(failure('second')))
      await on.log.replay([job.id], { by: 'ada' })
      await on.settle(worker, await on.claim(worker, job), outcomes.succeed(encoded('done')))
      const events = await on.events(job)
      expect(
        events.map(({ version, type, state, run, attempt }) => [version, type, state, run, attempt]),
      ).toEqual([
        [1, 'dispatched', 'ready', 0, 0],
        [2, 'started', 'running', 1, 1],
        [3, 'lost', 'ready', 1, 0],
        [4, 'started', 'running', 2, 1],
        [5, 'errored', 'scheduled', 2, 1],
        [6, 'due', 'ready', 2, 1],
        [7, 'started', 'running', 3, 2],
        [8, 'errored', 'running', 3, 2],
        [9, 'failed', 'failed', 3, 2],
        [10, 'replayed', 'ready', 3, 0],
        [11, 'started', 'running', 4, 1],
        [12, 'succeeded', 'succeeded', 4, 1],
      ])
      const times = events.map(({ at }) => at)
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      expect(
        events.every(
          ({ jobId, name, queue }) => jobId === job.id && name === on.jobName && queue === on.queue,
        ),
      ).toBe(true)
    })

    it('a job that has succeeded keeps its result and no error', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.settle(worker, claim, outcomes.retry(0, failure('once')))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.settle(worker, await on.claim(worker, job), outcomes.succeed(encoded(42)))
      expect(await on.record(job)).toMatchObject({ result: encoded(42), error: undefined })
    })

    it('of many jobs those are told that have not ended, and how many events each has had', async () => {
      const on = await scene()
      const held = { ordering: { key: 'k', onFailure: 'block' } } as const
      const failed = await on.ended(outcomes.fail(), held)
      const blocked = await on.add(held)
      const ended = [
        failed,
        await on.ended(outcomes.succeed()),
        await on.ended(outcomes.fail()),
        await on.ended(outcomes.cancel()),
      ]
      const { job: running } = await on.start()
      const open = [await on.add(), await on.add({ due: { delayMs: 3_600_000 } }), running, blocked]
      const ids = [...ended, ...open].map(({ id }) => id)
      const unfinished = await on.log.unfinished([...ids, randomUUID(), 'no id'])
      expect(unfinished.map(({ id }) => id).toSorted()).toEqual(open.map(({ id }) => id).toSorted())
      for (const { id, version } of unfinished)
        expect((await on.log.readHistory(id)).at(-1)?.version).toBe(version)
      await on.log.replay([failed.id], { by: 'ada' })
      const replayed = (await on.log.readHistory(failed.id)).at(-1)
      expect(await on.log.unfinished(ended.map(({ id }) => id))).toEqual([
        { id: failed.id, version: replayed?.version },
      ])
      expect(await on.log.unfinished([])).toEqual([])
    })

    it('jobs are listed newest dispatch first', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, { lane: 'critical' }, { due: { delayMs: 3_600_000 } }, {}])
      expect(await listed(on)).toEqual(jobs.map(({ id }) => id).toReversed())
    })

    it('a list can be read page by page, and none is missed or shown twice', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 7 }, () => ({})))
      const seen: string[] = []
      for (let after: string | undefined; ; after = seen.at(-1)) {
        const page = await on.log.list({ name: on.jobName }, { limit: 3, ...(after ? { after } : {}) })
        if (page.length === 0) break
        expect(page.length).toBeLessThanOrEqual(3)
        seen.push(...page.map(({ id }) => id))
      }
      expect(seen).toEqual(jobs.map(({ id }) => id).toReversed())
    })

    it('jobs that succeeded among many that wait are listed by their dispatch, not by their end', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 400 }, () => ({})))
      const worker = await on.worker()
      for (const place of [399, 5, 130, 262, 70, 200, 131, 0]) await on.finish(worker, jobs[place]!)
      await on.log.replay([jobs[131]!.id], { by: 'ada' })
      const seen: number[] = []
      for (let after: string | undefined; ;) {
        const page = await on.log.list({ name: on.jobName, state: 'succeeded' }, { limit: 2, after })
        if (page.length === 0) break
        seen.push(...page.map(({ id }) => jobs.findIndex((job) => job.id === id)))
        after = page.at(-1)!.id
      }
      expect(seen).toEqual([399, 262, 200, 130, 70, 5, 0])
    })

    it('a list can be narrowed by name, queue, state, tag and time, and by all of them together', async () => {
      const on = await scene()
      const other = on.newQueue()
      const [plain, tagged, elsewhere] = await on.addAll([
        {},
        { tags: ['blue', 'round'] },
        { queue: other, tags: ['blue'] },
      ])
      const done = await on.ended(outcomes.succeed(), { tags: ['round'] })
      expect(await listed(on, { queue: other })).toEqual([elsewhere?.id])
      expect(await listed(on, { state: 'succeeded' })).toEqual([done.id])
      expect(await listed(on, { tag: 'blue' })).toEqual([elsewhere?.id, tagged?.id])
      expect(await listed(on, { tag: 'round', state: 'ready', queue: on.queue })).toEqual([tagged?.id])
      expect(await listed(on, { name: 'no.such.job' })).toEqual([])
      await on.pass(5)
      const now = await on.now()
      await on.pass(5)
      const late = await on.add()
      expect(await listed(on, { before: now })).toEqual([done.id, elsewhere?.id, tagged?.id, plain?.id])
      expect(await listed(on)).toContain(late.id)
    })

    it('a listed job is the same record that get answers', async () => {
      const on = await scene()
      const { job } = await on.start({ tags: ['t'], unique: { key: 'u', until: 'finished' } })
      const [record] = await on.log.list({ name: on.jobName }, { limit: 1 })
      expect(record).toEqual(await on.record(job))
    })
  })
}
