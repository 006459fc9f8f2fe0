import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeFence(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('fence', () => {
    it('a worker that was frozen past its lease finds its job done elsewhere, and its own result refused', async () => {
      const on = await scene()
      const { job, worker: frozen, claim: old } = await on.start()
      await on.vanish(frozen)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const other = await on.worker()
      await on.finish(other, job)

      expect(await on.settle(frozen, old, outcomes.succeed())).toMatchObject({
        result: 'claim-lost',
        event: 'fenced',
        state: 'succeeded',
        tickets: [],
      })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost', 'started', 'succeeded', 'fenced'])
      expect(await on.lastEvent(job)).toMatchObject({
        state: 'succeeded',
        worker: frozen.id,
        data: { fencedRun: 1 },
      })
    })

    it('a late result changes nothing while another run is under way', async () => {
      const on = await scene()
      const { job, worker: frozen, claim: old } = await on.start()
      await on.vanish(frozen)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const other = await on.worker()
      const claim = await on.claim(other, job)
      const late = [
        outcomes.succeed(),
        outcomes.retry(0),
        outcomes.fail(),
        outcomes.cancel(),
        outcomes.release(true),
      ]
      for (const outcome of late) {
        expect(await on.settle(frozen, old, outcome)).toMatchObject({
          result: 'claim-lost',
          state: 'running',
        })
      }
      expect(await on.record(job)).toMatchObject({ state: 'running', run: 2, worker: other.id })
      expect(await on.settle(other, claim, outcomes.succeed())).toMatchObject({ result: 'settled' })
    })

    it('a late result that is offered again and again is recorded as fenced once per run', async () => {
      const on = await scene()
      const { job, worker: frozen, claim: old } = await on.start()
      await on.vanish(frozen)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      for (let offer = 0; offer < 3; offer += 1) await on.settle(frozen, old, outcomes.succeed())
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost', 'fenced'])
      expect(await on.state(job)).toBe('ready')
    })

    it('the run is the token, not the attempt: a snooze repeats the attempt, and the old run is refused', async () => {
      const on = await scene()
      const { job, worker, claim: first } = await on.start()
      await on.settle(worker, first, outcomes.snooze(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const other = await on.worker()
      const second = await on.claim(other, job)
      expect(second.attempt).toBe(first.attempt)
      expect(await on.settle(other, { id: job.id, run: first.run }, outcomes.succeed())).toMatchObject({
        result: 'claim-lost',
      })
      expect(await on.state(job)).toBe('running')
    })

    it("another worker cannot settle this worker's run", async () => {
      const on = await scene()
      const { job, claim } = await on.start()
      const stranger = await on.worker()
      expect(await on.settle(stranger, claim, outcomes.succeed())).toMatchObject({ result: 'claim-lost' })
      expect(await on.state(job)).toBe('running')
    })

    it('a job that was never started cannot be settled', async () => {
      const on = await scene()
      const job = await on.add()
      const worker = await on.worker()
      for (const run of [0, 1]) {
        expect(await on.settle(worker, { id: job.id, run }, outcomes.succeed())).toMatchObject({
          result: 'claim-lost',
        })
      }
      expect(await on.state(job)).toBe('ready')
    })

    it('a settlement of a job that nobody knows is a lost claim, and writes nothing', async () => {
      const on = await scene()
      const id = randomUUID()
      const settled = await on.settle(await on.worker(), { id, run: 1 }, outcomes.succeed())
      expect(settled).toMatchObject({ id, run: 1, result: 'claim-lost' })
      expect(await on.events(id)).toEqual([])
    })

    it('a fenced result does not disturb its neighbours in the batch', async () => {
      const on = await scene()
      const { job: gone, worker, claim: old } = await on.start()
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(gone)) === 'ready')
      await on.beat(worker)
      const { job, claim } = await on.start({}, worker)
      const settled = await on.log.settle(
        [settlement(old, outcomes.succeed()), settlement(claim, outcomes.succeed())],
        worker,
      )
      expect(settled.map(({ result }) => result)).toEqual(['claim-lost', 'settled'])
      expect(await on.states([gone, job])).toEqual(['ready', 'succeeded'])
    })
  })
}
