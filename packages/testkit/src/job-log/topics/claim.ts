import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ClaimOptions } from '@errand/core/ports'
import { encoded, outcomes, workerRef } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeClaim(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('claim', () => {
    it('a ticket of a ready job is granted, with all that the worker needs to run it', async () => {
      const on = await scene()
      const job = await on.add({
        payload: encoded({ file: 'cat.png' }),
        tags: ['photo'],
        meta: { trace: 't' },
        timeoutMs: null,
        onCrash: 'fail',
        maxAttempts: 4,
        maxCrashes: 2,
        expiresMs: 3_600_000,
      })
      const worker = await on.worker()
      const claim = await on.claim(worker, job)
      expect(claim).toMatchObject({
        id: job.id,
        run: 1,
        attempt: 1,
        crashes: 0,
        maxAttempts: 4,
        maxCrashes: 2,
        onCrash: 'fail',
        timeoutMs: null,
        parkedForMs: undefined,
        replays: 0,
        job: {
          id: job.id,
          name: on.jobName,
          queue: on.queue,
          lane: 'normal',
          payload: encoded({ file: 'cat.png' }),
          tags: ['photo'],
          meta: { trace: 't' },
          orderingKey: undefined,
        },
      })
      expect(claim.expiresInMs).toBeGreaterThan(3_000_000)
      expect(claim.expiresInMs).toBeLessThanOrEqual(3_600_000)
    })

    it('the start is on record before the worker hears of it: who runs it, where, as which run', async () => {
      const on = await scene()
      const { job, worker } = await on.start()
      expect(await on.record(job)).toMatchObject({ state: 'running', run: 1, attempt: 1, worker: worker.id })
      expect(await on.lastEvent(job)).toMatchObject({
        version: 2,
        type: 'started',
        state: 'running',
        run: 1,
        attempt: 1,
        worker: worker.id,
        data: { host: worker.host },
      })
    })

    it('of two tickets of one job, at two workers, one is granted and the other is told that the job is busy', async () => {
      const on = await scene()
      const { job } = await on.start()
      expect(await on.verdict(await on.worker(), job)).toBe('busy')
      expect(await on.story(job)).toEqual(['dispatched', 'started'])
    })

    it('the same ticket twice in one call is granted once', async () => {
      const on = await scene()
      const job = await on.add()
      const verdicts = await on.log.claim(
        [on.ticket(job), on.ticket(job), on.ticket(job)],
        3,
        await on.worker(),
        randomUUID(),
      )
      expect(verdicts.map((verdict) => (verdict.verdict === 'drop' ? verdict.why : verdict.verdict))).toEqual(
        ['run', 'busy', 'busy'],
      )
    })

    it('a finished job is never started again, however often its ticket comes', async () => {
      const on = await scene()
      const worker = await on.worker()
      for (const outcome of [outcomes.succeed(), outcomes.fail(), outcomes.cancel()]) {
        const job = await on.ended(outcome)
        expect(await on.verdict(worker, job)).toBe('finished')
        expect((await on.record(job)).run).toBe(1)
      }
    })

    it('a ticket of a job that nobody knows is refused as unknown', async () => {
      const on = await scene()
      expect(await on.verdict(await on.worker(), { id: randomUUID() })).toBe('unknown')
    })

    it("another log's ticket is told apart, even where the id is known here", async () => {
      const on = await scene()
      const job = await on.add()
      const foreign = { ...on.ticket(job), log: 'anotherlog' }
      expect(await on.log.claim([foreign], 1, await on.worker(), randomUUID())).toEqual([
        { ticket: foreign, verdict: 'drop', why: 'foreign' },
      ])
      expect(await on.state(job)).toBe('ready')
    })

    it('a blocked job is not started by any ticket', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const [, second] = await on.addAll([{ ordering }, { ordering }])
      expect(await on.verdict(await on.worker(), second!)).toBe('blocked')
    })

    it('a scheduled job is not started early: the verdict says when it is due', async () => {
      const on = await scene()
      const at = (await on.now()) + 3_600_000
      const job = await on.add({ due: { at } })
      expect(await on.log.claim([on.ticket(job)], 1, await on.worker(), randomUUID())).toEqual([
        { ticket: on.ticket(job), verdict: 'later', at },
      ])
    })

    it('nothing of a paused queue is started', async () => {
      const on = await scene()
      const job = await on.add()
      await on.log.pause(on.queue, { by: 'ada' })
      const worker = await on.worker()
      expect(await on.verdict(worker, job)).toBe('paused')
      await on.log.resume(on.queue, { by: 'ada' })
      expect(await on.verdict(worker, job)).toBe('run')
    })

    it("the row's queue decides whether a worker may run a job, not the ticket's", async () => {
      const on = await scene()
      const elsewhere = await on.add({ queue: on.newQueue() })
      const here = await on.add()
      const worker = await on.worker()
      const forged = { ...on.ticket(elsewhere), queue: on.queue }
      const misleading = { ...on.ticket(here), queue: 'wrong-queue', lane: 'critical' as const }
      const verdicts = await on.log.claim([forged, misleading], 2, worker, randomUUID())
      expect(verdicts.map((verdict) => (verdict.verdict === 'drop' ? verdict.why : verdict.verdict))).toEqual(
        ['elsewhere', 'run'],
      )
    })

    it('which queues a worker serves is what its last heartbeat said', async () => {
      const on = await scene()
      const [first, second] = await on.addAll([{}, {}])
      const worker = await on.worker({}, [])
      expect(await on.verdict(worker, first!)).toBe('elsewhere')
      await on.beat(worker, { queues: [on.queue] })
      expect(await on.verdict(worker, first!)).toBe('run')
      await on.beat(worker, { queues: [on.newQueue()] })
      expect(await on.verdict(worker, second!)).toBe('elsewhere')
    })

    it('no more are granted than asked for; the rest is to be asked again', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}, {}])
      const worker = await on.worker()
      const tickets = jobs.map((job) => on.ticket(job))
      const verdicts = await on.log.claim(tickets, 2, worker, randomUUID())
      expect(verdicts.map(({ verdict }) => verdict)).toEqual(['run', 'run', 'again', 'again'])
      const later = await on.log.claim(tickets.slice(2), 2, worker, randomUUID())
      expect(later.map(({ verdict }) => verdict)).toEqual(['run', 'run'])
    })

    it('no more of a lane are granted than it may have, and none of a lane that may have none', async () => {
      const on = await scene()
      const lanes = ['high', 'low', 'high', 'low', 'high', 'low', 'normal'] as const
      const jobs = await on.addAll(lanes.map((lane) => ({ lane })))
      const worker = await on.worker()
      const tickets = jobs.map((job) => on.ticket(job))
      const claim = async (max: number, perLane: ClaimOptions['perLane'], request: string = randomUUID()) => {
        const verdicts = await on.log.claim(tickets, max, worker, request, { perLane })
        return verdicts.map((each) => (each.verdict === 'drop' ? each.why : each.verdict))
      }
      const request = randomUUID()
      const first = ['run', 'run', 'run', 'again', 'again', 'again', 'again']
      expect(await claim(10, { high: 2, low: 1 }, request)).toEqual(first)
      // The answer was lost: what it granted counts again, and nothing more is granted.
      expect(await claim(10, { high: 2, low: 1 }, request)).toEqual(first)
      // Tickets of jobs that run take no share, and `max` holds as well.
      expect(await claim(2, { high: 5, low: 1, normal: 5 })).toEqual([
        'busy',
        'busy',
        'busy',
        'run',
        'run',
        'again',
        'again',
      ])
    })

    it("the ticket's lane decides whose share a job takes, not the row's", async () => {
      const on = await scene()
      const [first, second] = await on.addAll([{ lane: 'high' }, { lane: 'high' }])
      const tickets = [{ ...on.ticket(first!), lane: 'low' as const }, on.ticket(second!)]
      const verdicts = await on.log.claim(tickets, 2, await on.worker(), randomUUID(), {
        perLane: { low: 1 },
      })
      expect(verdicts.map(({ verdict }) => verdict)).toEqual(['run', 'again'])
    })

    it('every ticket is answered, in the order of the call', async () => {
      const on = await scene()
      const worker = await on.worker()
      const finished = await on.ended(outcomes.succeed())
      const ready = await on.add()
      const unknown = on.ticket({ id: randomUUID() })
      const tickets = [unknown, on.ticket(ready), on.ticket(finished)]
      const verdicts = await on.log.claim(tickets, 5, worker, randomUUID())
      expect(verdicts.map(({ ticket }) => ticket)).toEqual(tickets)
      expect(verdicts.map((verdict) => (verdict.verdict === 'drop' ? verdict.why : verdict.verdict))).toEqual(
        ['unknown', 'run', 'finished'],
      )
    })

    it('a worker that has never beaten is granted nothing', async () => {
      const on = await scene()
      const job = await on.add()
      await expect(on.log.claim([on.ticket(job)], 1, workerRef(), randomUUID())).rejects.toMatchObject({
        code: 'E_LEASE_OUT',
      })
      expect(await on.state(job)).toBe('ready')
    })

    it('a worker that has left is granted nothing, until it beats again', async () => {
      const on = await scene()
      const job = await on.add()
      const worker = await on.worker()
      await on.log.leave(worker)
      await expect(on.claim(worker, job)).rejects.toMatchObject({ code: 'E_LEASE_OUT' })
      await on.beat(worker)
      expect(await on.verdict(worker, job)).toBe('run')
    })

    it('a worker whose lease has run out is granted nothing, until it beats again', async () => {
      const on = await scene()
      const worker = await on.worker({ leaseMs: 60 })
      const job = await on.add()
      await on.until(async () => {
        const own = (await on.log.workers()).find(({ id }) => id === worker.id)
        return own?.alive === false
      }, 'the lease is out')
      await expect(on.claim(worker, job)).rejects.toMatchObject({ code: 'E_LEASE_OUT' })
      await expect(on.take(worker)).rejects.toMatchObject({ code: 'E_LEASE_OUT' })
      const revived = { ...worker, leaseMs: 30_000 }
      await on.beat(revived)
      expect(await on.verdict(revived, job)).toBe('run')
    })

    it('the run counts up with every claim and never repeats, the attempt with those that count', async () => {
      const on = await scene()
      const worker = await on.worker()
      const job = await on.add()
      const seen: [run: number, attempt: number][] = []
      for (const outcome of [
        outcomes.retry(0),
        outcomes.snooze(0),
        outcomes.release(true),
        outcomes.retry(0),
      ]) {
        const claim = await on.claim(worker, job)
        seen.push([claim.run, claim.attempt])
        await on.settle(worker, claim, outcome)
        await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      }
      const last = await on.claim(worker, job)
      seen.push([last.run, last.attempt])
      expect(seen).toEqual([
        [1, 1],
        [2, 2],
        [3, 2],
        [4, 2],
        [5, 3],
      ])
    })
  })
}
