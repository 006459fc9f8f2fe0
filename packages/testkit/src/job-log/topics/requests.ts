import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeRequests(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('requests whose reply was lost', () => {
    it('a claim that is asked again answers the same claims, and starts nothing twice', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}])
      const worker = await on.worker()
      const request = randomUUID()
      const ask = () =>
        on.log.claim(
          jobs.map((job) => on.ticket(job)),
          2,
          worker,
          request,
        )
      const first = await ask()
      const again = await ask()
      expect(first.map(({ verdict }) => verdict)).toEqual(['run', 'run', 'again'])
      const granted = (verdicts: typeof first) =>
        verdicts.flatMap((verdict) =>
          verdict.verdict === 'run' ? [[verdict.claim.id, verdict.claim.run]] : [],
        )
      expect(granted(again)).toEqual(expect.arrayContaining(granted(first)))
      expect(await on.story(jobs[0]!)).toEqual(['dispatched', 'started'])
      expect(await on.story(jobs[1]!)).toEqual(['dispatched', 'started'])
    })

    it('a take that is asked again answers the same claims, and takes nothing more', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}, {}])
      const worker = await on.worker()
      const request = randomUUID()
      const ask = () => on.log.take([on.queue], 2, worker, request)
      const first = await ask()
      expect((await ask()).map(({ id, run }) => [id, run])).toEqual(first.map(({ id, run }) => [id, run]))
      expect(await on.states(jobs)).toEqual(['running', 'running', 'ready', 'ready'])
    })

    it('a repeated answer carries the whole claim', async () => {
      const on = await scene()
      const job = await on.add({ tags: ['t'] })
      const worker = await on.worker()
      const request = randomUUID()
      const ask = () => on.log.claim([on.ticket(job)], 1, worker, request)
      const [[first], [again]] = [await ask(), await ask()]
      expect(first).toMatchObject({ verdict: 'run' })
      expect(again).toEqual(first)
    })

    it('what was settled since is not granted again by the old request', async () => {
      const on = await scene()
      const [first, second] = await on.addAll([{}, {}])
      const worker = await on.worker()
      const request = randomUUID()
      const claims = await on.log.take([on.queue], 2, worker, request)
      await on.settle(worker, claims[0]!, outcomes.succeed())
      expect((await on.log.take([on.queue], 2, worker, request)).map(({ id }) => id)).toEqual([second?.id])
      const [verdict] = await on.log.claim([on.ticket(first!)], 1, worker, request)
      expect(verdict).toMatchObject({ verdict: 'drop', why: 'finished' })
    })

    it('another request of the same worker finds the job busy', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      expect(await on.verdict(worker, job)).toBe('busy')
      expect(await on.take(worker)).toEqual([])
    })

    it("another worker's request of the same id is a request of its own", async () => {
      const on = await scene()
      const job = await on.add()
      const request = randomUUID()
      await on.log.take([on.queue], 1, await on.worker(), request)
      expect(await on.log.take([on.queue], 1, await on.worker(), request)).toEqual([])
      expect((await on.record(job)).run).toBe(1)
    })

    it('the claims of a lost reply are in the answer to the next heartbeat, so that they can be released', async () => {
      const on = await scene()
      const [first, second] = await on.addAll([{}, {}])
      const worker = await on.worker()
      await on.log.take([on.queue], 2, worker, randomUUID())
      const { claims } = await on.beat(worker)
      expect(claims.map(({ id, run }) => [id, run])).toEqual(
        expect.arrayContaining([
          [first?.id, 1],
          [second?.id, 1],
        ]),
      )
      for (const claim of claims) await on.settle(worker, claim, outcomes.release(false))
      expect(await on.states([first!, second!])).toEqual(['ready', 'ready'])
      expect((await on.beat(worker)).claims).toEqual([])
    })

    it.each([
      ['a success', outcomes.succeed(), 'succeeded'],
      ['a retry', outcomes.retry(3_600_000), 'errored'],
      ['a failure after an error', outcomes.exhaust(), 'failed'],
      ['a failure', outcomes.fail(), 'failed'],
      ['a snooze', outcomes.snooze(3_600_000), 'snoozed'],
      ['a release', outcomes.release(true), 'released'],
      ['a cancellation', outcomes.cancel(), 'cancelled'],
    ] as const)(
      '%s that is settled again was settled already, and writes no event',
      async (_, outcome, event) => {
        const on = await scene()
        const { job, worker, claim } = await on.start()
        const first = await on.settle(worker, claim, outcome)
        const story = await on.story(job)
        const again = await on.settle(worker, claim, outcome)
        expect(again).toMatchObject({ result: 'already', event, state: first.state, run: claim.run })
        expect(await on.story(job)).toEqual(story)
      },
    )

    it('already says what was recorded, whatever is offered the second time', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.settle(worker, claim, outcomes.succeed())
      expect(await on.settle(worker, claim, outcomes.fail())).toMatchObject({
        result: 'already',
        event: 'succeeded',
      })
      expect(await on.state(job)).toBe('succeeded')
    })

    it('already, too, after the job went on: it was retried elsewhere and replayed since', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.settle(worker, claim, outcomes.retry(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const other = await on.worker()
      await on.finish(other, job)
      await on.log.replay([job.id], { by: 'ada' })
      const running = await on.claim(other, job)
      expect(await on.settle(worker, claim, outcomes.retry(0))).toMatchObject({
        result: 'already',
        event: 'errored',
      })
      expect(await on.record(job)).toMatchObject({ state: 'running', run: running.run })
    })

    it('one run twice in one batch is settled once', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const settled = await on.log.settle(
        [settlement(claim, outcomes.succeed()), settlement(claim, outcomes.succeed())],
        worker,
      )
      expect(settled.map(({ result }) => result)).toEqual(['settled', 'already'])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
    })
  })
}
