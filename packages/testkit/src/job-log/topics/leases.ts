import { describe, expect, it } from 'vitest'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const minute = 60_000
const day = 24 * 60 * minute

export function describeLeases(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { advance } = harness.capabilities
  const types = async (on: Scene, job: { readonly id: string }) =>
    (await on.events(job)).map(({ type, state }) => [type, state])

  describe('leases', () => {
    it('a job whose worker is killed runs again on another one', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.vanish(worker)
      const { tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(tickets).toEqual([on.ticket(job)])
      const other = await on.worker()
      const claim = await on.claim(other, job)
      expect(claim).toMatchObject({ run: 2, attempt: 1, crashes: 1 })
      await on.settle(other, claim, outcomes.succeed())
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost', 'started', 'succeeded'])
    })

    it('a lost run is on record: whose it was, why, and that it was no attempt', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const lost = await on.lastEvent(job)
      expect(lost).toMatchObject({ type: 'lost', state: 'ready', worker: worker.id, run: 1, attempt: 0 })
      expect(JSON.parse(lost.body?.text ?? '')).toMatchObject({
        name: 'LostError',
        message: expect.stringMatching(/lease/),
        code: 'E_LOST',
      })
      const record = await on.record(job)
      expect(record).toMatchObject({ crashes: 1, attempt: 0, worker: undefined })
      expect(record.error).toEqual(lost.body)
    })

    it('a worker without a heartbeat loses its jobs when its lease is out', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      await on.beat({ ...worker, leaseMs: 100 })
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(await on.lastEvent(job)).toMatchObject({ type: 'lost', worker: worker.id })
      expect((await on.log.workers()).find(({ id }) => id === worker.id)?.alive).toBe(false)
    })

    it('a run without a timeout that its worker gives up is lost with the next sweep, and no other', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { job, claim } = await on.start({ timeoutMs: null }, worker)
      const other = await on.start({ timeoutMs: null }, worker)
      const stranger = await on.worker()
      await on.beat(stranger, { givenUp: [other.claim] })
      await on.beat(worker, { givenUp: [claim, { ...other.claim, run: 2 }] })
      expect(await on.states([job, other.job])).toEqual(['running', 'running'])
      const { tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(tickets).toEqual([on.ticket(job)])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'lost'])
      expect(await on.state(other.job)).toBe('running')
    })

    it('a heartbeat renews the lease of everything that the process runs, however long it takes', async () => {
      const on = await scene()
      const worker = await on.worker()
      const first = await on.start({}, worker)
      const second = await on.start({}, worker)
      const since = await on.now()
      await on.until(async () => {
        await on.beat({ ...worker, leaseMs: 300 })
        await on.sweep()
        return (await on.now()) > since + 900
      }, 'three leases have passed')
      expect(await on.states([first.job, second.job])).toEqual(['running', 'running'])
      expect(await on.settle(worker, first.claim, outcomes.succeed())).toMatchObject({ result: 'settled' })
    })

    it('a run past its deadline is lost, although its worker is alive: timeout and grace are over', async () => {
      const on = await scene()
      const worker = await on.worker({ graceMs: 20 })
      const { job, claim } = await on.start({ timeoutMs: 20 }, worker)
      const { job: other } = await on.start({}, worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(await on.state(other)).toBe('running')
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ result: 'claim-lost' })
    })

    it('the grace of the worker belongs to the deadline', async () => {
      const on = await scene()
      const { job } = await on.start({ timeoutMs: 1 }, await on.worker({ graceMs: 3_600_000 }))
      await on.pass(20)
      await on.sweep()
      expect(await on.state(job)).toBe('running')
    })

    it.runIf(advance)('a job with an unlimited timeout is never past its deadline', async () => {
      const on = await scene()
      const worker = await on.worker({ leaseMs: 20 * day })
      const { job } = await on.start({ timeoutMs: null }, worker)
      // In steps that leave no gap in sweeping for a lease of twenty days.
      for (let days = 0; days < 60; days += 5) {
        await on.jump(5 * day)
        await on.sweep()
        await on.beat(worker)
      }
      expect(await on.state(job)).toBe('running')
    })

    it('the second crash in a row waits: the job is not ready at once', async () => {
      const on = await scene()
      const job = await on.add({ maxCrashes: 5 })
      await on.lose(job)
      await on.lose(job)
      const lost = await on.lastEvent(job)
      expect(lost).toMatchObject({ type: 'lost', state: 'scheduled' })
      const { runAt } = await on.record(job)
      expect((runAt ?? 0) - lost.at).toBeGreaterThanOrEqual(900)
      expect((runAt ?? Infinity) - lost.at).toBeLessThanOrEqual(1_100)
    })

    it.runIf(advance)('the wait doubles with every crash in a row, up to a minute', async () => {
      const on = await scene()
      const job = await on.add({ maxCrashes: 12 })
      const waits: number[] = []
      for (let crash = 1; crash <= 10; crash += 1) {
        await on.lose(job)
        const { at } = await on.lastEvent(job)
        waits.push(Math.round((((await on.record(job)).runAt ?? at) - at) / 1_000))
        // In steps of half of what would be a gap in sweeping.
        while ((await on.state(job)) === 'scheduled') {
          await on.jump(5_000)
          await on.sweep()
        }
      }
      expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60, 60])
    })

    it('a crash after a run that ended in another way is the first in a row again', async () => {
      const on = await scene()
      const job = await on.add({ maxCrashes: 5 })
      await on.lose(job)
      const worker = await on.worker()
      await on.settle(worker, await on.claim(worker, job), outcomes.release(true))
      await on.lose(job)
      expect(await on.lastEvent(job)).toMatchObject({ type: 'lost', state: 'ready' })
      expect((await on.record(job)).crashes).toBe(2)
    })

    it('a job that kills its process again and again fails after its crashes, whatever its attempts', async () => {
      const on = await scene()
      const job = await on.add({ maxCrashes: 2, maxAttempts: 50 })
      await on.lose(job)
      const worker = await on.worker()
      await on.claim(worker, job)
      await on.vanish(worker)
      const { failed, tickets } = await on.sweepUntil(async () => (await on.state(job)) === 'failed')
      expect(tickets).toEqual([])
      expect(failed).toMatchObject([
        { job: { id: job.id, name: on.jobName, payload: job.payload }, cause: 'lost', run: 2, attempt: 0 },
      ])
      expect(failed[0]?.error.text).toMatch(/\w/)
      expect(await types(on, job)).toEqual([
        ['dispatched', 'ready'],
        ['started', 'running'],
        ['lost', 'ready'],
        ['started', 'running'],
        ['lost', 'running'],
        ['failed', 'failed'],
      ])
      expect(await on.lastEvent(job)).toMatchObject({ data: { cause: 'lost' } })
      expect(await on.record(job)).toMatchObject({ crashes: 2, attempt: 0, state: 'failed' })
    })

    it('crashes are counted apart from attempts: a job on its last attempt survives one', async () => {
      const on = await scene()
      const job = await on.add({ maxAttempts: 1 })
      await on.lose(job)
      const worker = await on.worker()
      expect(await on.claim(worker, job)).toMatchObject({ attempt: 1, maxAttempts: 1 })
    })

    it('after a gap in sweeping nothing is called lost before one full lease is over', async () => {
      const on = await scene()
      const { job, worker: dead } = await on.start()
      await on.beat({ ...dead, leaseMs: 300 })
      await on.until(async () => (await on.log.workers()).every(({ alive }) => !alive), 'every lease is out')
      const leaseMs = 900
      await on.worker({ leaseMs })
      await on.pass(20)

      const since = await on.now()
      await on.sweep()
      expect(await on.state(job)).toBe('running')
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect((await on.lastEvent(job)).at).toBeGreaterThanOrEqual(since + leaseMs)
    })

    it.runIf(advance)(
      'after an outage of an hour the whole fleet keeps its jobs: all it has to do is beat',
      async () => {
        const on = await scene()
        const fleet = [await on.worker(), await on.worker(), await on.worker()]
        const runs = await Promise.all(fleet.map((worker) => on.start({ timeoutMs: null }, worker)))
        await on.sweep()
        await on.jump(60 * minute)
        await on.sweep()
        expect(await on.states(runs.map(({ job }) => job))).toEqual(['running', 'running', 'running'])
        // In steps that leave no gap, and end a while before the lease that began with the first sweep.
        for (let step = 0; step < 3; step += 1) {
          await on.jump(8_000)
          await on.sweep()
          for (const worker of fleet.slice(0, 2)) await on.beat(worker)
        }
        expect(await on.state(runs[2]!.job)).toBe('running')
        await on.jump(8_000)
        await on.sweepUntil(async () => (await on.state(runs[2]!.job)) === 'ready')
        expect(await on.states([runs[0]!.job, runs[1]!.job])).toEqual(['running', 'running'])
      },
    )

    it.runIf(advance)('rows of workers that died a day ago are cleared away', async () => {
      const on = await scene()
      const dead = await on.worker()
      const listed = async () => (await on.log.workers()).some(({ id }) => id === dead.id)
      await on.sweep()
      await on.jump(23 * 60 * minute)
      await on.sweep()
      expect(await listed()).toBe(true)
      await on.jump(2 * 60 * minute)
      await on.sweep()
      expect(await listed()).toBe(false)
    })
  })
}
