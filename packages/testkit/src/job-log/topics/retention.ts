import { describe, expect, it } from 'vitest'
import type { PruneOptions } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const day = 86_400_000
const keepAll: PruneOptions = { succeededMs: 14 * day, failedMs: 90 * day, limit: 100 }

export function describeRetention(harness: JobLogHarness): void {
  const { fresh } = scenes(harness)
  const { advance } = harness.capabilities

  /** Prunes until it has nothing more to do; answers how many jobs went. */
  const pruned = async (on: Scene, options: Partial<PruneOptions>): Promise<number> => {
    let jobs = 0
    await on.pass(2)
    await on.until(async () => {
      const report = await on.log.prune({ ...keepAll, ...options })
      jobs += report.jobs
      return !report.more
    })
    return jobs
  }

  describe('retention', () => {
    it('what has finished long enough ago is gone; what is younger stays', async () => {
      const on = await fresh()
      const succeeded = await on.ended(outcomes.succeed())
      const cancelled = await on.ended(outcomes.cancel())
      const failed = await on.ended(outcomes.fail())
      expect(await pruned(on, {})).toBe(0)
      expect(await pruned(on, { succeededMs: 0 })).toBe(2)
      expect(await on.states([succeeded, cancelled, failed])).toEqual([undefined, undefined, 'failed'])
      expect(await pruned(on, { failedMs: 0 })).toBe(1)
      expect(await on.state(failed)).toBeUndefined()
    })

    it('a live job is never pruned, however old', async () => {
      const on = await fresh()
      const { job: running } = await on.start()
      const waiting = await on.addAll([{}, { due: { delayMs: 3_600_000 } }])
      const retried = await on.ended(outcomes.retry(3_600_000))
      expect(await pruned(on, { succeededMs: 0, failedMs: 0 })).toBe(0)
      expect(await on.states([running, ...waiting, retried])).toEqual(['running', 'ready', 'scheduled', 'scheduled'])
    })

    it('old events go as a prefix of the log: whoever followed them meets an error, never a hole', async () => {
      const on = await fresh()
      const { job } = await on.start()
      const [first] = await on.events(job)
      await pruned(on, { succeededMs: 0, failedMs: 0 })
      await on.log.cancel([job.id], { by: 'ada' })
      await on.until(async () => {
        const read = await on.log.read({ after: first!.cursor, limit: 10 }).catch((error: unknown) => error)
        if (read instanceof Error) {
          expect(read).toMatchObject({ code: 'E_CURSOR' })
          return true
        }
        const versions = (read as { events: readonly { version: number }[] }).events.map(({ version }) => version)
        expect([[], [2], [2, 3]]).toContainEqual(versions)
        return versions.length === 2
      })
      const kept = (await on.events(job)).map(({ version }) => version)
      expect(kept).toEqual([1, 2, 3].slice(3 - kept.length))
      expect(kept).toContain(3)
    })

    it('a failed job that still holds its key is not pruned, until it is skipped', async () => {
      const on = await fresh()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const holder = await on.ended(outcomes.fail(), { ordering })
      const behind = await on.add({ ordering })
      expect(await pruned(on, { failedMs: 0 })).toBe(0)
      expect(await on.states([holder, behind])).toEqual(['failed', 'blocked'])
      await on.log.skip([holder.id], { by: 'ada' })
      expect(await pruned(on, { failedMs: 0 })).toBe(1)
      expect(await on.states([holder, behind])).toEqual([undefined, 'ready'])
    })

    it('goes in pieces: no more than its limit in one call, and says whether there is more', async () => {
      const on = await fresh()
      const worker = await on.worker()
      await on.addAll(Array.from({ length: 5 }, () => ({})))
      for (const claim of await on.take(worker)) await on.settle(worker, claim, outcomes.succeed())
      await on.pass(2)
      const first = await on.log.prune({ ...keepAll, succeededMs: 0, limit: 2 })
      expect(first).toEqual({ jobs: 2, more: true })
      expect(await pruned(on, { succeededMs: 0, limit: 2 })).toBe(3)
    })

    it('a pruned job is unknown: it is in no list, and its ticket is refused', async () => {
      const on = await fresh()
      const job = await on.ended(outcomes.succeed())
      await pruned(on, { succeededMs: 0 })
      expect(await on.log.list({}, { limit: 10 })).toEqual([])
      expect(await on.verdict(await on.worker(), job)).toBe('unknown')
      expect(await on.log.replay([job.id], { by: 'ada' })).toMatchObject({ replayed: 0 })
    })

    it('following goes on over what was pruned: live jobs lose no event, and nothing is shown twice', async () => {
      const on = await fresh()
      const gone = await on.ended(outcomes.succeed())
      const { job: kept } = await on.start()
      await on.until(async () => (await on.log.read({ job: kept.id, limit: 10 })).events.length === 2)
      const cursor = await on.log.end()
      await pruned(on, { succeededMs: 0 })
      await on.log.cancel([kept.id], { by: 'ada' })
      const { events } = await on.until(async () => {
        const page = await on.log.read({ after: cursor, limit: 10 })
        return page.events.length > 0 && page
      })
      expect(events.map(({ jobId, type }) => [jobId, type])).toEqual([[kept.id, 'cancel_requested']])
      expect((await on.events(kept)).map(({ version }) => version)).toEqual([1, 2, 3])
      const whole = await on.log.read({ limit: 100 })
      expect(whole.events.filter(({ jobId }) => jobId === kept.id)).toHaveLength(3)
      expect(gone.id).not.toBe(kept.id)
    })

    it.runIf(advance)('retention counts from the last event, each state by its own time', async () => {
      const on = await fresh()
      const succeeded = await on.ended(outcomes.succeed())
      const failed = await on.ended(outcomes.fail())
      await on.jump(13 * day)
      const younger = await on.ended(outcomes.succeed())
      expect(await pruned(on, {})).toBe(0)
      await on.jump(2 * day)
      expect(await pruned(on, {})).toBe(1)
      expect(await on.states([succeeded, failed, younger])).toEqual([undefined, 'failed', 'succeeded'])
      await on.jump(76 * day)
      expect(await pruned(on, {})).toBe(2)
    })

    it.runIf(advance)('a replayed job lives again, and is kept from its new end on', async () => {
      const on = await fresh()
      const job = await on.ended(outcomes.succeed())
      await on.jump(13 * day)
      await on.log.replay([job.id], { by: 'ada' })
      await on.jump(2 * day)
      expect(await pruned(on, {})).toBe(0)
      await on.finish(await on.worker(), job)
      await on.jump(2 * day)
      expect(await pruned(on, {})).toBe(0)
    })
  })
}
