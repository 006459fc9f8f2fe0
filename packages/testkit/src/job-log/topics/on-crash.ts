import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeOnCrash(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const fail = { onCrash: 'fail', maxCrashes: 5, maxAttempts: 5 } as const

  describe("onCrash: 'fail'", () => {
    it('a job whose worker died is never started again: it fails as interrupted', async () => {
      const on = await scene()
      const { job, worker } = await on.start(fail)
      await on.vanish(worker)
      const { failed, tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'failed')
      expect(failed.map(({ job: gone, cause }) => [gone.id, cause])).toEqual([[job.id, 'lost']])
      expect(tickets).toEqual([])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost', 'failed'])
      expect(await on.verdict(await on.worker(), job)).toBe('finished')
    })

    it('a job that ran past its deadline is never started again', async () => {
      const on = await scene()
      const worker = await on.worker({ graceMs: 0 })
      const { job } = await on.start({ ...fail, timeoutMs: 20 }, worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'failed')
      expect(await on.lastEvent(job)).toMatchObject({ type: 'failed', data: { cause: 'lost' } })
    })

    it('a job whose handler had begun when its worker stopped fails; the release is not a way around', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(fail)
      expect(await on.settle(worker, claim, outcomes.release(true))).toMatchObject({
        result: 'settled',
        event: 'failed',
        state: 'failed',
        tickets: [],
      })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'failed'])
      expect(await on.lastEvent(job)).toMatchObject({ data: { cause: 'lost' } })
    })

    it('a job whose handler had not begun goes back and runs later', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(fail)
      await on.settle(worker, claim, outcomes.release(false))
      expect(await on.state(job)).toBe('ready')
      expect(await on.claim(worker, job)).toMatchObject({ run: 2, attempt: 1 })
    })

    it('an end that is known is an end like any other: it is retried and snoozed', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(fail)
      await on.settle(worker, claim, outcomes.retry(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.settle(worker, await on.claim(worker, job), outcomes.snooze(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.finish(worker, job)
      expect(await on.state(job)).toBe('succeeded')
    })

    it('an interrupted job may be replayed by an operator, and is then started once more', async () => {
      const on = await scene()
      const { job, worker } = await on.start(fail)
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'failed')
      await on.log.replay([job.id], { by: 'ada', reason: 'the effect did not happen' })
      const other = await on.worker()
      await on.claim(other, job)
      await on.vanish(other)
      await on.sweepUntil(async () => (await on.state(job)) === 'failed')
      expect((await on.story(job)).filter((type) => type === 'started')).toHaveLength(2)
    })
  })
}
