import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { releaseReasons } from '@errand/core/ports'
import type { ReleaseReason, SettledOutcome } from '@errand/core/ports'
import { recorded, encoded, failure, outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeSettle(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('settle', () => {
    it('a success is final and keeps its result', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      expect(await on.settle(worker, claim, outcomes.succeed(encoded({ path: 'small.png' })))).toEqual({
        id: job.id,
        run: 1,
        result: 'settled',
        event: 'succeeded',
        state: 'succeeded',
        tickets: [],
        pending: false,
      })
      const record = await on.record(job)
      expect(record).toMatchObject({
        state: 'succeeded',
        result: encoded({ path: 'small.png' }),
        worker: undefined,
        run: 1,
        attempt: 1,
      })
      expect(record.finishedAt).toBeTypeOf('number')
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'succeeded',
        worker: worker.id,
        body: encoded({ path: 'small.png' }),
        data: { durationMs: 12 },
      })
    })

    it('a success without a result has none', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed())
      expect((await on.record(job)).result).toBeUndefined()
    })

    it('an error with a retry is scheduled, and the error can be read while it waits', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const before = await on.now()
      const settled = await on.settle(worker, claim, outcomes.retry(60_000, failure('no disk')))
      expect(settled).toMatchObject({ result: 'settled', event: 'errored', state: 'scheduled', tickets: [] })
      expect(settled.runAt).toBeGreaterThanOrEqual(before + 60_000)
      expect(settled.runAt).toBeLessThanOrEqual((await on.now()) + 60_000)
      expect(await on.record(job)).toMatchObject({
        state: 'scheduled',
        runAt: settled.runAt,
        error: failure('no disk'),
        worker: undefined,
        attempt: 1,
        finishedAt: undefined,
      })
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'errored',
        state: 'scheduled',
        worker: worker.id,
        body: failure('no disk'),
        data: { runAt: settled.runAt, durationMs: 12 },
      })
    })

    it('an error without a retry is followed by a failure at once: two events, one after the other', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const settled = await on.settle(worker, claim, outcomes.exhaust(failure('still no disk')))
      expect(settled).toMatchObject({ result: 'settled', event: 'failed', state: 'failed' })
      const events = await on.events(job)
      expect(events.map(({ type, state, version }) => [type, state, version])).toEqual([
        ['dispatched', 'ready', 1],
        ['started', 'running', 2],
        ['errored', 'running', 3],
        ['failed', 'failed', 4],
      ])
      expect(await on.record(job)).toMatchObject({ state: 'failed', error: failure('still no disk') })
    })

    it('a failure for good needs no error before it, and says its cause', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const outcome: SettledOutcome = { kind: 'fail', error: failure('not ours'), cause: 'unknown-job' }
      expect(await on.settle(worker, claim, outcome)).toMatchObject({ event: 'failed', state: 'failed' })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'failed'])
      expect(await on.lastEvent(job)).toMatchObject({
        body: failure('not ours'),
        data: { cause: 'unknown-job' },
      })
    })

    it('a timeout is an error with its own cause', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.settle(worker, claim, {
        kind: 'error',
        error: failure('too slow'),
        cause: 'timeout',
        retryInMs: undefined,
      })
      expect(await on.lastEvent(job)).toMatchObject({ type: 'failed', data: { cause: 'timeout' } })
    })

    it('a snooze gives the attempt back, not the run', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const settled = await on.settle(worker, claim, outcomes.snooze(60_000, 'rate limit'))
      expect(settled).toMatchObject({ event: 'snoozed', state: 'scheduled' })
      expect(await on.record(job)).toMatchObject({
        state: 'scheduled',
        run: 1,
        attempt: 0,
        runAt: settled.runAt,
      })
      expect(await on.lastEvent(job)).toMatchObject({ attempt: 0, data: { reason: 'rate limit' } })
    })

    it('a retry or snooze of no time at all is scheduled and due, and runs after the next sweep', async () => {
      const on = await scene()
      const worker = await on.worker()
      const retried = await on.ended(outcomes.retry(0), {}, worker)
      const snoozed = await on.ended(outcomes.snooze(0), {}, worker)
      expect(await on.states([retried, snoozed])).toEqual(['scheduled', 'scheduled'])
      await on.sweepUntil(async () =>
        (await on.states([retried, snoozed])).every((state) => state === 'ready'),
      )
      expect(await on.story(retried)).toEqual(['dispatched', 'started', 'errored', 'due'])
      expect(await on.story(snoozed)).toEqual(['dispatched', 'started', 'snoozed', 'due'])
    })

    it('a parked job remembers since when, over several snoozes, until a run ends in another way', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      expect(claim.parkedForMs).toBeUndefined()
      await on.settle(worker, claim, outcomes.park(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.pass(20)
      const second = await on.claim(worker, job)
      expect(second.parkedForMs).toBeGreaterThanOrEqual(20)
      await on.settle(worker, second, outcomes.park(0))
      await on.pass(20)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const third = await on.claim(worker, job)
      expect(third.parkedForMs).toBeGreaterThanOrEqual(40)
      await on.settle(worker, third, outcomes.retry(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect((await on.claim(worker, job)).parkedForMs).toBeUndefined()
    })

    it('the event of a released job says why, for each reason, and a failure as interrupted says its cause', async () => {
      const on = await scene()
      for (const why of Object.keys(releaseReasons) as ReleaseReason[]) {
        const { job, worker, claim } = await on.start()
        await on.settle(worker, claim, outcomes.release(why === 'asked', why))
        expect(await on.lastEvent(job)).toMatchObject({
          type: 'released',
          worker: worker.id,
          data: { durationMs: 12, why },
          body: undefined,
        })
      }
      const { job, worker, claim } = await on.start({ onCrash: 'fail' })
      await on.settle(worker, claim, outcomes.release(true, 'shutdown'))
      const { type, data } = await on.lastEvent(job)
      expect([type, data]).toEqual(['failed', { durationMs: 12, cause: 'lost' }])
    })

    it('a released job is ready at once, with a ticket, and the attempt is given back', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const settled = await on.settle(worker, claim, outcomes.release(true))
      expect(settled).toMatchObject({ event: 'released', state: 'ready', tickets: [on.ticket(job)] })
      expect(await on.record(job)).toMatchObject({ state: 'ready', run: 1, attempt: 0, worker: undefined })
      expect(await on.verdict(await on.worker(), job)).toBe('run')
    })

    it('a handler may cancel its own job', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      expect(await on.settle(worker, claim, outcomes.cancel('superseded'))).toMatchObject({
        event: 'cancelled',
        state: 'cancelled',
      })
      expect(await on.lastEvent(job)).toMatchObject({ type: 'cancelled', data: { reason: 'superseded' } })
    })

    it('a completion that is not in the log is an error: it is never settled as a success', async () => {
      const on = await scene()
      const worker = await on.worker()
      const retried = await on.ended(outcomes.completed(60_000), {}, worker)
      const failed = await on.ended(outcomes.completed(), {}, worker)
      expect(await on.story(retried)).toEqual(['dispatched', 'started', 'errored'])
      expect(await on.story(failed)).toEqual(['dispatched', 'started', 'errored', 'failed'])
      expect(await on.states([retried, failed])).toEqual(['scheduled', 'failed'])
    })

    it('a batch of different outcomes is answered one by one, in the order of the call', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll([{}, {}, {}, {}])
      const [a, b, c, d] = await on.take(worker)
      const lost = { id: randomUUID(), run: 1 }
      const settled = recorded(
        await on.log.settle(
          [
            settlement(d!, outcomes.snooze(1_000)),
            settlement(a!, outcomes.succeed()),
            settlement(lost, outcomes.succeed()),
            settlement(c!, outcomes.release(false)),
            settlement(b!, outcomes.fail()),
          ],
          worker,
        ),
      )
      expect(settled.map(({ id, result, event }) => [id, result, event])).toEqual([
        [d?.id, 'settled', 'snoozed'],
        [a?.id, 'settled', 'succeeded'],
        [lost.id, 'claim-lost', 'fenced'],
        [c?.id, 'settled', 'released'],
        [b?.id, 'settled', 'failed'],
      ])
    })

    it('nothing to settle is nothing done', async () => {
      const on = await scene()
      expect(await on.log.settle([], await on.worker())).toEqual([])
    })

    it('a finished outcome is always offered, and counts even when the lease has run out', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.vanish(worker)
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ result: 'settled' })
      expect(await on.state(job)).toBe('succeeded')
    })
  })
}
