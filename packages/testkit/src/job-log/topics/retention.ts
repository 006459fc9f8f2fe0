import { describe, expect, it } from 'vitest'
import type { PruneOptions } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const day = 86_400_000
const keepAll: PruneOptions = { succeededMs: 14 * day, failedMs: 90 * day, limit: 100 }

export function describeRetention(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const { advance } = harness.capabilities

  /** Prunes until nothing is left to do. By default every ended job counts as old enough, even one that has just ended. */
  const prune = async (on: Scene, options: Partial<PruneOptions> = {}): Promise<void> => {
    await on.pass(2)
    await on.until(async () => !(await on.log.prune({ ...keepAll, ...options })).more)
  }

  describe('retention', () => {
    it('what has finished long enough ago is gone; what is younger stays', async () => {
      const on = await scene()
      const jobs = [
        await on.ended(outcomes.succeed()),
        await on.ended(outcomes.cancel()),
        await on.ended(outcomes.fail()),
      ]
      await prune(on)
      expect(await on.states(jobs)).toEqual(['succeeded', 'cancelled', 'failed'])
      await prune(on, { succeededMs: 0 })
      expect(await on.states(jobs)).toEqual([undefined, undefined, 'failed'])
      await prune(on, { failedMs: 0 })
      expect(await on.states(jobs)).toEqual([undefined, undefined, undefined])
    })

    it('a live job is never pruned, however old', async () => {
      const on = await scene()
      const { job: running } = await on.start()
      const waiting = await on.addAll([{}, { due: { delayMs: 3_600_000 } }])
      const retried = await on.ended(outcomes.retry(3_600_000))
      await prune(on, { succeededMs: 0, failedMs: 0 })
      const states = await on.states([running, ...waiting, retried])
      expect(states).toEqual(['running', 'ready', 'scheduled', 'scheduled'])
    })

    it('a failed job that still holds its key is not pruned, until it is skipped', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const holder = await on.ended(outcomes.fail(), { ordering })
      const behind = await on.add({ ordering })
      await prune(on, { failedMs: 0 })
      expect(await on.states([holder, behind])).toEqual(['failed', 'blocked'])
      await on.log.skip([holder.id], { by: 'ada' })
      await prune(on, { failedMs: 0 })
      expect(await on.states([holder, behind])).toEqual([undefined, 'ready'])
    })

    it.runIf(advance)(
      'the retention of a skipped job counts from the skip, not from its failure',
      async () => {
        const on = await scene()
        const job = await on.ended(outcomes.fail(), { ordering: { key: 'k', onFailure: 'block' } })
        await on.jump(91 * day)
        await on.log.skip([job.id], { by: 'ada' })
        expect((await on.record(job)).finishedAt).toBe((await on.events(job)).at(-1)?.at)
        await prune(on)
        expect(await on.state(job)).toBe('failed')
        await on.jump(91 * day)
        await prune(on)
        expect(await on.state(job)).toBeUndefined()
      },
    )

    it('goes in pieces: no more than its limit in one call, and says whether there is more', async () => {
      const on = await fresh()
      const worker = await on.worker()
      await on.addAll(Array.from({ length: 5 }, () => ({})))
      for (const claim of await on.take(worker)) await on.settle(worker, claim, outcomes.succeed())
      await on.pass(2)
      const piece = () => on.log.prune({ ...keepAll, succeededMs: 0, limit: 2 })
      expect(await piece()).toEqual({ jobs: 2, more: true })
      expect(await piece()).toEqual({ jobs: 2, more: true })
      expect(await piece()).toMatchObject({ jobs: 1 })
      await on.until(async () => !(await piece()).more, 'nothing more to prune')
    })

    it('a pruned job is unknown: it is in no list, and its ticket is refused', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed())
      await prune(on, { succeededMs: 0 })
      expect(await on.log.list({ queue: on.queue }, { limit: 10 })).toEqual([])
      expect(await on.verdict(await on.worker(), job)).toBe('unknown')
      expect(await on.log.replay([job.id], { by: 'ada' })).toMatchObject({ replayed: 0 })
    })

    it('following goes on over what was pruned: live jobs lose no event, and nothing is shown twice', async () => {
      const on = await scene()
      const { queue } = on
      await on.ended(outcomes.succeed())
      const { job: kept } = await on.start()
      await on.until(async () => (await on.log.read({ job: kept.id, limit: 10 })).events.length === 2)
      const cursor = await on.log.end()
      await prune(on, { succeededMs: 0 })
      await on.log.cancel([kept.id], { by: 'ada' })
      const { events } = await on.until(async () => {
        const page = await on.log.read({ after: cursor, limit: 10, queue })
        return page.events.length > 0 && page
      })
      expect(events.map(({ jobId, type }) => [jobId, type])).toEqual([[kept.id, 'cancel_requested']])
      expect((await on.events(kept)).map(({ version }) => version)).toEqual([1, 2, 3])
    })

    it('old events go as a prefix of the log: their followers meet an error, never a hole', async () => {
      const on = await scene()
      const { job } = await on.start()
      const [first] = await on.events(job)
      await prune(on, { succeededMs: 0, failedMs: 0 })
      await on.log.cancel([job.id], { by: 'ada' })
      await on.until(async () => {
        const read = await on.log.read({ after: first!.cursor, limit: 1_000 }).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'E_CURSOR' })
          return undefined
        })
        if (!read) return true
        const versions = read.events.filter(({ jobId }) => jobId === job.id).map(({ version }) => version)
        expect([[], [2], [2, 3]]).toContainEqual(versions)
        return versions.length === 2
      })
      const kept = (await on.events(job)).map(({ version }) => version)
      expect([[3], [2, 3], [1, 2, 3]]).toContainEqual(kept)
    })

    it.runIf(advance)('retention counts from the last event, each state by its own time', async () => {
      const on = await scene()
      const jobs = [await on.ended(outcomes.succeed()), await on.ended(outcomes.fail())]
      await on.jump(13 * day)
      jobs.push(await on.ended(outcomes.succeed()))
      await prune(on)
      expect(await on.states(jobs)).toEqual(['succeeded', 'failed', 'succeeded'])
      await on.jump(2 * day)
      await prune(on)
      expect(await on.states(jobs)).toEqual([undefined, 'failed', 'succeeded'])
      await on.jump(76 * day)
      await prune(on)
      expect(await on.states(jobs)).toEqual([undefined, undefined, undefined])
    })

    it.runIf(advance)('a replayed job lives again, and is kept from its new end on', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed())
      await on.jump(13 * day)
      await on.log.replay([job.id], { by: 'ada' })
      await on.jump(2 * day)
      await prune(on)
      expect(await on.state(job)).toBe('ready')
      await on.finish(await on.worker(), job)
      await on.jump(2 * day)
      await prune(on)
      expect(await on.state(job)).toBe('succeeded')
    })
  })
}
