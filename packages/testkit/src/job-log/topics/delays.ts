import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const year = 365 * 86_400_000

export function describeDelays(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const { advance } = harness.capabilities

  describe('delays', () => {
    it('a delayed job becomes ready when its time has come, not before, and then gets its ticket', async () => {
      const on = await scene()
      const job = await on.add({ due: { delayMs: 60 } })
      const { runAt, dispatchedAt } = await on.record(job)
      expect((runAt ?? 0) - dispatchedAt).toBe(60)
      const { tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(tickets).toEqual([on.ticket(job)])
      const due = await on.lastEvent(job)
      expect(due).toMatchObject({ type: 'due', state: 'ready', version: 2 })
      expect(due.at).toBeGreaterThanOrEqual(runAt ?? Infinity)
      expect((await on.record(job)).runAt).toBeUndefined()
    })

    it('delays of years are kept to the millisecond', async () => {
      const on = await scene()
      const at = (await on.now()) + 20 * year + 1
      const job = await on.add({ due: { at } })
      await on.sweep()
      expect(await on.record(job)).toMatchObject({ state: 'scheduled', runAt: at })
    })

    it.runIf(advance)('a job of next year runs next year', async () => {
      const on = await scene()
      const job = await on.add({ due: { delayMs: year } })
      await on.jump(year - 1_000)
      expect((await on.sweep()).tickets).toEqual([])
      await on.jump(1_001)
      expect((await on.sweep()).tickets).toEqual([on.ticket(job)])
    })

    it('what is due first becomes ready first, also when a sweep may move few', async () => {
      const on = await fresh()
      const [third, first, second] = await on.addAll([
        { due: { delayMs: 30 } },
        { due: { delayMs: 10 } },
        { due: { delayMs: 20 } },
      ])
      const now = await on.now()
      await on.until(async () => (await on.now()) > now + 40)
      for (const next of [first, second, third]) {
        const { tickets } = await on.sweep({ limit: 1 })
        expect(tickets.map(({ id }) => id)).toEqual([next?.id])
      }
    })

    it('a sweep says how long until the next job is due', async () => {
      const on = await fresh()
      expect((await on.sweep()).nextDueInMs).toBeUndefined()
      await on.add()
      expect((await on.sweep()).nextDueInMs).toBeUndefined()
      await on.addAll([{ due: { delayMs: 7_200_000 } }, { due: { delayMs: 3_600_000 } }])
      const { nextDueInMs } = await on.sweep()
      expect(nextDueInMs).toBeGreaterThan(3_500_000)
      expect(nextDueInMs).toBeLessThanOrEqual(3_600_000)
    })

    it('a retry waits out its backoff, and so does a snooze', async () => {
      const on = await scene()
      const worker = await on.worker()
      const retried = await on.ended(outcomes.retry(200), {}, worker)
      const snoozed = await on.ended(outcomes.snooze(200), {}, worker)
      const runAts = [(await on.record(retried)).runAt, (await on.record(snoozed)).runAt]
      for (const [index, job] of [retried, snoozed].entries()) {
        const runAt = runAts[index]
        await on.sweepUntil(async () => (await on.state(job)) === 'ready')
        expect((await on.lastEvent(job)).at).toBeGreaterThanOrEqual(runAt ?? Infinity)
      }
    })

    it('a job that becomes due in a paused queue waits there without a ticket', async () => {
      const on = await scene()
      await on.log.pause(on.queue, { by: 'ada' })
      const job = await on.add({ due: { delayMs: 20 } })
      const { tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(tickets).toEqual([])
      await on.log.resume(on.queue, { by: 'ada' })
    })

    it('no worker takes a job before a sweep has made it ready', async () => {
      const on = await scene()
      const job = await on.add({ due: { delayMs: 5 } })
      await on.pass(10)
      expect(await on.take(await on.worker())).toEqual([])
      expect(await on.state(job)).toBe('scheduled')
    })
  })
}
