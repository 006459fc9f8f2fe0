import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SettledOutcome } from '@errand/core/ports'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const ada = { by: 'ada', reason: 'wrong customer' } as const

export function describeCancel(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('cancel', () => {
    it('a job that waits is cancelled at once, from any process, and says by whom and why', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const [ready, , blocked, scheduled] = await on.addAll([
        {},
        { ordering },
        { ordering },
        { due: { delayMs: 3_600_000 } },
      ])
      const elsewhere = await on.another()
      const jobs = [ready!, blocked!, scheduled!]
      expect(
        await elsewhere.cancel(
          jobs.map(({ id }) => id),
          ada,
        ),
      ).toEqual({
        cancelled: 3,
        requested: 0,
        workers: [],
        tickets: [],
      })
      for (const job of jobs) {
        expect(await on.state(job)).toBe('cancelled')
        expect(await on.lastEvent(job)).toMatchObject({ type: 'cancelled', data: ada, version: 2 })
      }
    })

    it('a cancelled job is not started by the ticket that is still on the broker', async () => {
      const on = await scene()
      const job = await on.add()
      await on.log.cancel([job.id], ada)
      expect(await on.verdict(await on.worker(), job)).toBe('finished')
    })

    it('a job that runs is asked to end: its worker is told with the next heartbeat', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      expect(await on.log.cancel([job.id], ada)).toEqual({
        cancelled: 0,
        requested: 1,
        workers: [worker.id],
        tickets: [],
      })
      expect(await on.record(job)).toMatchObject({ state: 'running', cancelRequested: true })
      expect(await on.lastEvent(job)).toMatchObject({ type: 'cancel_requested', state: 'running', data: ada })
      expect((await on.beat(worker)).claims).toEqual([{ id: job.id, run: 1, cancel: ada }])
    })

    it('a request that is repeated is recorded once, and the first one stands', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.log.cancel([job.id], ada)
      expect(await on.log.cancel([job.id], { by: 'bob' })).toMatchObject({ cancelled: 0, requested: 0 })
      expect((await on.story(job)).filter((type) => type === 'cancel_requested')).toHaveLength(1)
      expect((await on.beat(worker)).claims).toMatchObject([{ cancel: ada }])
    })

    it('a job that succeeds all the same has succeeded', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.cancel([job.id], ada)
      expect(await on.settle(worker, claim, outcomes.succeed(encoded(1)))).toMatchObject({
        event: 'succeeded',
        state: 'succeeded',
      })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'cancel_requested', 'succeeded'])
    })

    it.each<[string, SettledOutcome, string[]]>([
      ['an error that would be retried', outcomes.retry(0), ['errored', 'cancelled']],
      ['an error that is the last', outcomes.exhaust(), ['errored', 'cancelled']],
      ['a completion that was rolled back', outcomes.completed(0), ['errored', 'cancelled']],
      ['a failure', outcomes.fail(), ['cancelled']],
      ['a snooze', outcomes.snooze(0), ['cancelled']],
      ['a release', outcomes.release(true), ['cancelled']],
      ['its own cancellation', outcomes.cancel('I was told to'), ['cancelled']],
    ])('once cancellation is requested, %s ends as cancelled', async (_, outcome, events) => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.cancel([job.id], ada)
      expect(await on.settle(worker, claim, outcome)).toMatchObject({
        result: 'settled',
        event: 'cancelled',
        state: 'cancelled',
        tickets: [],
      })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'cancel_requested', ...events])
      expect((await on.lastEvent(job)).data.by).toBe('ada')
    })

    it('once cancellation is requested, a lost run is not run again', async () => {
      const on = await scene()
      for (const onCrash of ['retry', 'fail'] as const) {
        const { job, worker } = await on.start({ onCrash })
        await on.log.cancel([job.id], ada)
        await on.vanish(worker)
        const { tickets, failed } = await on.sweepUntil(async () => (await on.state(job)) !== 'running')
        expect([tickets, failed]).toEqual([[], []])
        expect(await on.story(job)).toEqual([
          'dispatched',
          'started',
          'cancel_requested',
          'lost',
          'cancelled',
        ])
        expect(await on.lastEvent(job)).toMatchObject({ data: ada })
      }
    })

    it('jobs that are unknown or final are left alone', async () => {
      const on = await scene()
      const done = await on.ended(outcomes.succeed())
      const cancelled = await on.ended(outcomes.cancel())
      expect(await on.log.cancel([done.id, randomUUID(), cancelled.id], ada)).toEqual({
        cancelled: 0,
        requested: 0,
        workers: [],
        tickets: [],
      })
      expect(await on.story(done)).toEqual(['dispatched', 'started', 'succeeded'])
      expect(await on.log.cancel([], ada)).toMatchObject({ cancelled: 0, requested: 0 })
    })

    it('many at once, some waiting and some running, are one call', async () => {
      const on = await scene()
      const running = [await on.start(), await on.start()]
      const waiting = await on.addAll([{}, {}, {}])
      const report = await on.log.cancel(
        [...running.map(({ job }) => job.id), ...waiting.map(({ id }) => id)],
        ada,
      )
      expect(report).toMatchObject({ cancelled: 3, requested: 2 })
      expect(report.workers.toSorted()).toEqual(running.map(({ worker }) => worker.id).toSorted())
    })

    it('one id twice in a call is cancelled once', async () => {
      const on = await scene()
      const job = await on.add()
      expect(await on.log.cancel([job.id, job.id], ada)).toMatchObject({ cancelled: 1 })
      expect(await on.story(job)).toEqual(['dispatched', 'cancelled'])
    })

    it('cancelling a whole line of a key leaves nobody behind', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const jobs = await on.addAll([{ ordering }, { ordering }, { ordering }])
      const { cancelled } = await on.log.cancel(
        jobs.map(({ id }) => id),
        ada,
      )
      expect(cancelled).toBe(3)
      expect(await on.states(jobs)).toEqual(['cancelled', 'cancelled', 'cancelled'])
      expect(await on.state(await on.add({ ordering }))).toBe('ready')
    })
  })
}
