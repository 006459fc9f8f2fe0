import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { NewJob } from '@errand/core/ports'
import { mostSteps, mostWaits } from '@errand/core/ports'
import { encoded, outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { newStep, remember, stepsOf, suspend, suspended, told, waits } from '../memory.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const hourMs = 3_600_000
const day = 24 * hourMs
const ada = { by: 'ada' }
const ordering = { key: 'account-7', onFailure: 'block' } as const

/** Handlers that wait hold nothing of a worker, and their jobs go on by themselves. */
export function describeSuspended(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const { advance, damage } = harness.capabilities

  const isReady = (on: Scene, job: { readonly id: string }) => async () => (await on.state(job)) === 'ready'
  /** A limit of so many jobs at a time. */
  const declare = async (on: Scene, total: number): Promise<Partial<NewJob>> => {
    const name = `limit-${randomBytes(5).toString('hex')}`
    await on.log.saveLimits([{ name, after: 0, to: { values: { total }, body: '{}' } }])
    return { limit: { name, key: '' } }
  }

  describe('suspended jobs', () => {
    it('a job that sleeps is suspended: no worker has it, and its attempt is given back', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const before = await on.now()
      const settled = await suspend(on, worker, claim, waits.sleep('cool-off', hourMs))
      expect(settled).toMatchObject({
        result: 'settled',
        event: 'suspended',
        state: 'suspended',
        tickets: [],
      })
      expect(settled.runAt).toBeGreaterThanOrEqual(before + hourMs)
      expect(await on.record(job)).toMatchObject({
        state: 'suspended',
        run: 1,
        attempt: 0,
        worker: undefined,
        runAt: settled.runAt,
        finishedAt: undefined,
      })
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'suspended',
        state: 'suspended',
        run: 1,
        attempt: 0,
        worker: worker.id,
        data: { waits: ['cool-off'], runAt: settled.runAt, durationMs: 12 },
      })
      expect((await on.beat(worker)).claims).toEqual([])
      expect(await on.take(worker)).toEqual([])
      expect(await on.verdict(worker, job)).toBe('blocked')
      expect(await stepsOf(on, job)).toEqual([
        {
          name: 'cool-off',
          kind: 'sleep',
          order: undefined,
          run: 1,
          memoryVersion: 1,
          at: undefined,
          durationMs: undefined,
          until: settled.runAt,
          on: undefined,
          by: undefined,
          body: undefined,
          messageId: undefined,
        },
      ])
    })

    it('it is resumed when its time has come, not before, and gets a ticket', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('cool-off', 60)])
      const { runAt } = await on.record(job)
      const { tickets } = await on.sweepUntil(isReady(on, job))
      expect(tickets).toEqual([on.ticket(job)])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'suspended', 'resumed'])
      const resumed = await on.lastEvent(job)
      expect(resumed).toMatchObject({ state: 'ready', attempt: 0, data: { waits: ['cool-off'] } })
      expect(resumed.worker).toBeUndefined()
      expect(resumed.at).toBeGreaterThanOrEqual(runAt ?? Infinity)
      expect((await on.record(job)).runAt).toBeUndefined()
      expect(await stepsOf(on, job)).toMatchObject([
        { name: 'cool-off', kind: 'sleep', order: 1, by: 'time', at: resumed.at, until: runAt },
      ])
      const next = await on.claim(job.worker, job)
      expect(next).toMatchObject({ run: 2, attempt: 1, crashes: 0 })
    })

    it.runIf(advance)('a job that sleeps for three weeks goes on after three weeks', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', 21 * day)])
      await on.jump(21 * day - 1_000)
      await on.sweep()
      expect(await on.state(job)).toBe('suspended')
      await on.jump(1_001)
      expect((await on.sweep()).tickets).toEqual([on.ticket(job)])
    })

    it('a sleep until a moment that is past resumes its job at once', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const settled = await suspend(on, worker, claim, waits.until('launch', 1))
      expect(settled).toMatchObject({ event: 'resumed', state: 'ready', tickets: [on.ticket(job)] })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'suspended', 'resumed'])
      expect((await on.claim(worker, job)).run).toBe(2)
    })

    it('the end of a sleep is fixed when it is first stored, and never moves', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.sleep('long', hourMs), waits.sleep('now', 0)])
      const [, before] = await stepsOf(on, { id })
      const claim = await on.claim(worker, { id })
      await on.pass(5)
      const settled = await suspend(on, worker, claim, waits.sleep('long', 7 * day))
      expect(settled).toMatchObject({ event: 'suspended', runAt: before?.until })
      expect((await stepsOf(on, { id }))[1]).toEqual(before)
    })

    it('the first of several waits resumes it, and the others stay open', async () => {
      const on = await scene()
      const job = await suspended(on, [
        waits.sleep('long', hourMs),
        waits.sleep('short', 20),
        waits.sleep('longer', 2 * hourMs),
      ])
      await on.sweepUntil(isReady(on, job))
      expect((await on.lastEvent(job)).data.waits).toEqual(['short'])
      expect(await told(on, job)).toEqual(['short by time', 'long open', 'longer open'])
    })

    it('of waits that are over together each is marked, in the order of their times, and it resumes once', async () => {
      const on = await scene()
      const job = await suspended(on, [
        waits.sleep('second', 20),
        waits.sleep('later', hourMs),
        waits.sleep('first', 10),
      ])
      await on.pass(30)
      await on.sweepUntil(isReady(on, job))
      expect(await told(on, job)).toEqual(['first by time', 'second by time', 'later open'])
      expect((await on.lastEvent(job)).data.waits).toEqual(['first', 'second'])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'suspended', 'resumed'])
    })

    it('steps and waits are counted in one order', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      await suspend(on, worker, claim, waits.sleep('cool-off', 0))
      const second = await on.claim(worker, job)
      await remember(on, worker, second, 'ship')
      await suspend(on, worker, second, waits.sleep('rest', 0))
      expect((await stepsOf(on, job)).map(({ name, order, run }) => [name, order, run])).toEqual([
        ['charge', 1, 1],
        ['cool-off', 2, 1],
        ['ship', 3, 2],
        ['rest', 4, 2],
      ])
    })

    it('a wait that was over before resumes its job at once, whatever else it waits for', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.sleep('now', 0)])
      const settled = await suspend(
        on,
        worker,
        await on.claim(worker, { id }),
        waits.sleep('now', hourMs),
        waits.sleep('long', hourMs),
      )
      expect(settled).toMatchObject({ event: 'resumed', state: 'ready' })
      expect((await on.lastEvent({ id })).data.waits).toEqual(['now'])
      expect(await told(on, { id })).toEqual(['now by time', 'long open'])
    })

    it('tries and crashes are counted anew after a suspension', async () => {
      const on = await scene()
      const job = await on.add({ maxAttempts: 2, maxCrashes: 2 })
      await on.lose(job)
      const worker = await on.worker()
      await on.settle(worker, await on.claim(worker, job), outcomes.retry(0))
      await on.sweepUntil(isReady(on, job))
      const third = await on.claim(worker, job)
      expect(third).toMatchObject({ run: 3, attempt: 2, crashes: 1 })
      await suspend(on, worker, third, waits.sleep('rest', 0))
      expect(await on.claim(worker, job)).toMatchObject({ run: 4, attempt: 1, crashes: 0 })
    })

    it('a step that was stored does not give new tries', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      await on.settle(worker, claim, outcomes.retry(0))
      await on.sweepUntil(isReady(on, job))
      expect(await on.claim(worker, job)).toMatchObject({ run: 2, attempt: 2 })
    })

    it.runIf(advance)('the time for its retries begins anew, too', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', day)], { expiresMs: hourMs })
      await on.jump(day)
      await on.sweepUntil(isReady(on, job))
      await on.jump(60_000)
      const { expiresInMs } = await on.claim(await on.worker(), job)
      expect(expiresInMs).toBeGreaterThan(hourMs - 70_000)
      expect(expiresInMs).toBeLessThanOrEqual(hourMs - 60_000)
    })

    it('it keeps its ordering key: those behind it wait', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.sleep('rest', 20)], { ordering })
      const behind = await on.add({ ordering })
      expect(await on.state(behind)).toBe('blocked')
      await on.sweepUntil(isReady(on, { id }))
      expect(await on.state(behind)).toBe('blocked')
      await on.finish(worker, { id })
      expect(await on.state(behind)).toBe('ready')
    })

    it('it keeps its unique key', async () => {
      const on = await scene()
      const unique = { key: 'u', until: 'finished' } as const
      const { id } = await suspended(on, [waits.sleep('rest', hourMs)], { unique })
      expect(await on.log.append([on.newJob({ unique })])).toMatchObject([{ id, status: 'duplicate' }])
    })

    it('it gives its place of a limit to another job, and waits for one when it is resumed', async () => {
      const on = await scene()
      const limited = await declare(on, 1)
      const { job, worker, claim } = await on.start(limited)
      const other = await on.add(limited)
      expect(await on.state(other)).toBe('blocked')
      const settled = await suspend(on, worker, claim, waits.sleep('rest', 20))
      expect(settled).toMatchObject({ state: 'suspended', tickets: [on.ticket(other)] })
      await on.sweepUntil(async () => (await on.state(job)) === 'blocked')
      expect(await on.lastEvent(job)).toMatchObject({ type: 'resumed', state: 'blocked' })
      expect((await on.finish(worker, other)).tickets).toEqual([on.ticket(job)])
      expect(await on.story(job)).toEqual([
        'dispatched',
        'unblocked',
        'started',
        'suspended',
        'resumed',
        'unblocked',
      ])
    })

    it('resumed at once, it goes through its limit again', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(await declare(on, 1))
      const settled = await suspend(on, worker, claim, waits.sleep('rest', 0))
      expect(settled).toMatchObject({ state: 'ready', event: 'unblocked', tickets: [on.ticket(job)] })
      expect(await on.story(job)).toEqual([
        'dispatched',
        'unblocked',
        'started',
        'suspended',
        'resumed',
        'unblocked',
      ])
    })

    it('a limited queue has a place for another job meanwhile', async () => {
      const on = await scene()
      await on.log.limitQueue(on.queue, 1, ada)
      const { worker } = await suspended(on, [waits.sleep('rest', hourMs)])
      await on.claim(worker, await on.add())
      await on.log.limitQueue(on.queue, undefined, ada)
    })

    it('in a paused queue it is resumed, and gets no ticket', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', 10)])
      await on.log.pause(on.queue, ada)
      const { tickets } = await on.sweepUntil(isReady(on, job))
      expect(tickets).toEqual([])
      await on.log.resume(on.queue, ada)
    })

    it('a sweep says how long until the next one goes on', async () => {
      const on = await fresh()
      await suspended(on, [waits.sleep('rest', 2 * hourMs)])
      await suspended(on, [waits.sleep('rest', hourMs), waits.message('a', 'approved')])
      await suspended(on, [waits.message('b', 'approved')])
      const { nextDueInMs } = await on.sweep()
      expect(nextDueInMs).toBeGreaterThan(hourMs - 60_000)
      expect(nextDueInMs).toBeLessThanOrEqual(hourMs)
    })

    it('cancelling it ends it at once, frees its key, and keeps its memory', async () => {
      const on = await scene()
      const { id, worker, claim } = await suspended(on, [waits.sleep('rest', 20)], { ordering })
      const behind = await on.add({ ordering })
      expect(await on.log.cancel([id], { ...ada, reason: 'too late' })).toMatchObject({
        cancelled: 1,
        requested: 0,
        tickets: [on.ticket(behind)],
      })
      expect(await on.lastEvent({ id })).toMatchObject({
        type: 'cancelled',
        state: 'cancelled',
        data: { by: 'ada', reason: 'too late' },
      })
      await on.pass(30)
      await on.sweep()
      expect(await on.state({ id })).toBe('cancelled')
      expect(await told(on, { id })).toEqual(['rest open'])
      expect((await on.settle(worker, claim, outcomes.succeed())).result).toBe('already')
    })

    it('a run that was asked to end is cancelled instead of suspended', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.cancel([job.id], ada)
      expect(await suspend(on, worker, claim, waits.sleep('rest', hourMs))).toMatchObject({
        event: 'cancelled',
        state: 'cancelled',
      })
      expect(await stepsOf(on, job)).toEqual([])
    })

    it('of a suspended job only the lane can be changed', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', 30)])
      for (const to of [{ queue: on.newQueue() }, { runAt: 1 }, { payload: encoded('new') }])
        await expect(on.log.change(job.id, to, ada)).rejects.toMatchObject({ code: 'E_NOT_ALLOWED' })
      const before = await on.record(job)
      expect(await on.log.change(job.id, { lane: 'high' }, ada)).toEqual({
        state: 'suspended',
        ticket: undefined,
      })
      expect(await on.record(job)).toMatchObject({ state: 'suspended', lane: 'high', runAt: before.runAt })
      expect(await on.lastEvent(job)).toMatchObject({ type: 'changed', state: 'suspended' })
      const { tickets } = await on.sweepUntil(isReady(on, job))
      expect(tickets).toEqual([on.ticket({ id: job.id, lane: 'high' })])
    })

    it('it has started, so its payload is not replaced', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', hourMs)])
      const times = { waitMs: 0, atMostMs: 0 }
      expect(await on.log.debounce(job.id, encoded('newer'), times)).toEqual({ status: 'started' })
    })

    it('it is counted with its queue, and listed by its state', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.sleep('rest', hourMs)])
      const queue = (await on.log.queues()).find(({ name }) => name === on.queue)
      expect(queue).toMatchObject({ suspended: 1, running: 0, scheduled: 0, ready: 0, blocked: 0 })
      const listed = await on.log.list({ state: 'suspended', queue: on.queue }, { limit: 10 })
      expect(listed.map(({ id }) => id)).toEqual([job.id])
      expect(await on.log.unfinished([job.id])).toMatchObject([{ id: job.id }])
    })

    it('it is not replayed, skipped, pruned or called lost', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.sleep('rest', hourMs)], { timeoutMs: 1 })
      await on.vanish(worker)
      expect(await on.log.replay([id], ada)).toMatchObject({ replayed: 0 })
      expect(await on.log.skip([id], ada)).toMatchObject({ skipped: 0 })
      await on.pass(5)
      await on.sweep()
      await on.log.prune({ succeededMs: 0, failedMs: 0, limit: 100 })
      expect(await on.state({ id })).toBe('suspended')
    })

    it('told twice of the same suspension, the log answers `already`', async () => {
      const on = await scene()
      const { id, worker, claim } = await suspended(on, [waits.sleep('rest', hourMs)])
      expect(await suspend(on, worker, claim, waits.sleep('rest', hourMs))).toMatchObject({
        result: 'already',
        event: 'suspended',
      })
      expect(await on.story({ id })).toEqual(['dispatched', 'started', 'suspended'])
    })

    it('a run that has lost its claim is not suspended, and its waits are not stored', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.vanish(worker)
      await on.sweepUntil(isReady(on, job))
      expect(await suspend(on, worker, claim, waits.sleep('rest', hourMs))).toMatchObject({
        result: 'claim-lost',
      })
      expect(await stepsOf(on, job)).toEqual([])
      expect(await on.state(job)).toBe('ready')
    })

    it('many are suspended in one call, each by itself', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll([{}, {}, {}])
      const claims = await on.take(worker)
      const sleep = [waits.sleep('rest', hourMs)]
      const settled = await on.log.settle(
        [
          settlement(claims[0]!, { kind: 'suspend', waits: sleep, memoryVersion: 4 }),
          settlement(claims[1]!, outcomes.succeed()),
          settlement(claims[2]!, { kind: 'suspend', waits: [waits.sleep('no', 0)], memoryVersion: 4 }),
        ],
        worker,
      )
      expect(settled.map((answer) => 'state' in answer && answer.state)).toEqual([
        'suspended',
        'succeeded',
        'ready',
      ])
      expect(await stepsOf(on, claims[0]!)).toMatchObject([{ name: 'rest', memoryVersion: 4 }])
    })

    it('a handler that waits for more than 100 things, or has too many steps, fails for good', async () => {
      const on = await scene()
      const tooMany = Array.from({ length: mostWaits + 1 }, (_, at) => waits.sleep(`sleep/${at}`, hourMs))
      const first = await on.start()
      expect(await suspend(on, first.worker, first.claim, ...tooMany)).toMatchObject({ state: 'failed' })
      expect((await on.record(first.job)).error?.text).toContain('E_STEP_LIMIT')
      const second = await on.start()
      expect(await suspend(on, second.worker, second.claim, ...tooMany.slice(0, mostWaits))).toMatchObject({
        state: 'suspended',
      })

      const third = await on.start()
      const steps = Array.from({ length: mostSteps }, (_, at) => newStep(third.claim, `step/${at}`))
      await on.log.remember(steps, third.worker)
      expect(await suspend(on, third.worker, third.claim, waits.sleep('rest', 0))).toMatchObject({
        state: 'failed',
      })
      expect((await on.record(third.job)).error?.text).toContain('E_STEP_LIMIT')
    })

    it.runIf(damage)('if its row cannot be worked with, it fails, and the others are resumed', async () => {
      const on = await scene()
      const jobs = [
        await suspended(on, [waits.sleep('rest', 10)]),
        await suspended(on, [waits.sleep('rest', 20)]),
        await suspended(on, [waits.sleep('rest', 30)]),
      ]
      await on.damage(jobs[1]!)
      await on.pass(40)
      await on.sweepUntil(isReady(on, jobs[2]!))
      expect(await on.states(jobs)).toEqual(['ready', 'failed', 'ready'])
      expect(await told(on, jobs[2]!)).toEqual(['rest by time'])
    })
  })
}
