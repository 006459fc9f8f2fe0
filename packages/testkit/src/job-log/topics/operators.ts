import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const ada = { by: 'ada', reason: 'fixed the bug' } as const
const ordering = { key: 'account-7', onFailure: 'block' } as const

export function describeOperators(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('replay', () => {
    it('a failed job starts over: same id and run counter, its attempts and crashes at 0', async () => {
      const on = await scene()
      const job = await on.add({ maxAttempts: 1 })
      await on.lose(job)
      const worker = await on.worker()
      await on.settle(worker, await on.claim(worker, job), outcomes.exhaust())
      expect(await on.log.replay([job.id], ada)).toEqual({
        replayed: 1,
        duplicates: [],
        unmet: [],
        tickets: [on.ticket(job)],
      })
      expect(await on.record(job)).toMatchObject({
        state: 'ready',
        run: 2,
        attempt: 0,
        crashes: 0,
        finishedAt: undefined,
        cancelRequested: false,
      })
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'replayed',
        state: 'ready',
        attempt: 0,
        data: ada,
      })
      expect(await on.claim(worker, job)).toMatchObject({ run: 3, attempt: 1, crashes: 0, replays: 0 })
    })

    it('a succeeded job that is replayed counts it, so that its idempotency key is another', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed(encoded('first')))
      const worker = await on.worker()
      for (const replays of [1, 2]) {
        await on.log.replay([job.id], ada)
        const claim = await on.claim(worker, job)
        expect(claim).toMatchObject({ replays, run: replays + 1, attempt: 1 })
        await on.settle(worker, claim, outcomes.succeed(encoded('again')))
      }
      expect((await on.record(job)).result).toEqual(encoded('again'))
    })

    it('a replayed job shows neither the result nor the end of its life before', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed(encoded('old')))
      await on.log.replay([job.id], ada)
      expect(await on.record(job)).toMatchObject({ result: undefined, finishedAt: undefined, state: 'ready' })
    })

    it('a cancelled job may be replayed; its cancellation is over', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.cancel([job.id], { by: 'bob' })
      await on.settle(worker, claim, outcomes.release(true))
      expect(await on.log.replay([job.id], ada)).toMatchObject({ replayed: 1 })
      const second = await on.claim(worker, job)
      expect((await on.beat(worker)).claims).toEqual([{ id: job.id, run: 2 }])
      expect(await on.settle(worker, second, outcomes.snooze(3_600_000))).toMatchObject({ event: 'snoozed' })
    })

    it('jobs that live, and unknown ones, are not counted', async () => {
      const on = await scene()
      const { job: running } = await on.start()
      const waiting = await on.add()
      expect(await on.log.replay([running.id, waiting.id, randomUUID()], ada)).toEqual({
        replayed: 0,
        duplicates: [],
        unmet: [],
        tickets: [],
      })
      expect(await on.story(waiting)).toEqual(['dispatched'])
    })

    it('a replay whose unique key another job holds is refused as a duplicate', async () => {
      const on = await scene()
      const unique = { key: 'cat.png', until: 'finished' } as const
      const old = await on.ended(outcomes.fail(), { unique })
      const live = await on.add({ unique })
      expect(await on.log.replay([old.id], ada)).toEqual({
        replayed: 0,
        duplicates: [old.id],
        unmet: [],
        tickets: [],
      })
      expect(await on.story(old)).toEqual(['dispatched', 'started', 'failed'])
      await on.log.cancel([live.id], ada)
      expect(await on.log.replay([old.id], ada)).toMatchObject({ replayed: 1 })
    })

    it('a replayed job holds its unique key again', async () => {
      const on = await scene()
      const unique = { key: 'cat.png', until: 'finished' } as const
      const job = await on.ended(outcomes.succeed(), { unique })
      await on.log.replay([job.id], ada)
      expect(await on.log.append([on.newJob({ unique })])).toEqual([{ id: job.id, status: 'duplicate' }])
      await on.finish(await on.worker(), job)
      const [answer] = await on.log.append([on.newJob({ unique })])
      expect(answer?.status).toBe('added')
    })

    it('a finished job of a key that others hold now is blocked, and next in line', async () => {
      const on = await scene()
      const first = await on.ended(outcomes.succeed(), { ordering })
      const { worker, claim } = await on.start({ ordering })
      const third = await on.add({ ordering })
      expect(await on.log.replay([first.id], ada)).toEqual({
        replayed: 1,
        duplicates: [],
        unmet: [],
        tickets: [],
      })
      expect(await on.states([first, third])).toEqual(['blocked', 'blocked'])
      expect((await on.settle(worker, claim, outcomes.succeed())).tickets).toEqual([on.ticket(first)])
      expect(await on.states([first, third])).toEqual(['ready', 'blocked'])
    })

    it('a finished job of a key that nobody holds is ready, and holds it', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed(), { ordering })
      await on.log.replay([job.id], ada)
      expect(await on.states([job, await on.add({ ordering })])).toEqual(['ready', 'blocked'])
    })

    it('two failed jobs of one key, replayed together, run in the order of their dispatch', async () => {
      const on = await scene()
      const skip = { key: 'account-9', onFailure: 'skip' } as const
      const worker = await on.worker()
      const first = await on.ended(outcomes.fail(), { ordering: skip }, worker)
      const second = await on.ended(outcomes.fail(), { ordering: skip }, worker)
      expect(await on.log.replay([first.id, second.id], ada)).toMatchObject({ replayed: 2 })
      expect(await on.states([first, second])).toEqual(['ready', 'blocked'])
    })
  })

  describe('skip', () => {
    it('only a failed job that holds its key can be skipped, and only once', async () => {
      const on = await scene()
      const free = await on.ended(outcomes.fail())
      const { job: live } = await on.start({ ordering: { key: 'other', onFailure: 'block' } })
      const holder = await on.ended(outcomes.fail(), { ordering })
      const { skipped } = await on.log.skip([free.id, live.id, holder.id, randomUUID()], ada)
      expect(skipped).toBe(1)
      expect(await on.log.skip([holder.id], ada)).toEqual({ skipped: 0, tickets: [] })
      expect((await on.story(holder)).filter((type) => type === 'skipped')).toHaveLength(1)
    })

    it('a skipped job that is replayed stands in line again', async () => {
      const on = await scene()
      const failed = await on.ended(outcomes.fail(), { ordering })
      const next = await on.add({ ordering })
      await on.log.skip([failed.id], ada)
      await on.log.replay([failed.id], ada)
      expect(await on.states([failed, next])).toEqual(['blocked', 'ready'])
    })
  })

  describe('change', () => {
    it('a waiting job can be given another lane, and gets a new ticket', async () => {
      const on = await scene()
      const job = await on.add({ lane: 'low' })
      const answer = await on.log.change(job.id, { lane: 'critical' }, ada)
      expect(answer).toEqual({ state: 'ready', ticket: { ...on.ticket(job), lane: 'critical' } })
      expect(await on.record(job)).toMatchObject({ lane: 'critical', state: 'ready' })
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'changed',
        state: 'ready',
        data: { by: 'ada', changed: ['lane'] },
      })
      await on.add({ lane: 'high' })
      expect((await on.take(await on.worker()))[0]?.id).toBe(job.id)
    })

    it('another queue: only workers of that queue may run it then', async () => {
      const on = await scene()
      const other = on.newQueue()
      const job = await on.add()
      expect((await on.log.change(job.id, { queue: other }, ada)).ticket?.queue).toBe(other)
      expect(await on.verdict(await on.worker(), job)).toBe('elsewhere')
      expect(await on.verdict(await on.worker({}, [other]), job)).toBe('run')
      expect((await on.lastEvent(job)).queue).toBe(other)
    })

    it('another payload: the next run gets it', async () => {
      const on = await scene()
      const job = await on.add()
      await on.log.change(job.id, { payload: encoded({ width: 640 }) }, ada)
      expect((await on.claim(await on.worker(), job)).job.payload).toEqual(encoded({ width: 640 }))
    })

    it('another time: later makes a ready job scheduled, earlier a scheduled one ready', async () => {
      const on = await scene()
      const runAt = (await on.now()) + 3_600_000
      const job = await on.add()
      expect(await on.log.change(job.id, { runAt }, ada)).toEqual({ state: 'scheduled', ticket: undefined })
      expect(await on.record(job)).toMatchObject({ state: 'scheduled', runAt })
      expect(await on.log.change(job.id, { runAt: runAt + 5 }, ada)).toMatchObject({ state: 'scheduled' })
      expect(await on.record(job)).toMatchObject({ runAt: runAt + 5 })
      const changed = await on.log.change(job.id, { runAt: runAt - 7_200_000 }, ada)
      expect(changed).toEqual({ state: 'ready', ticket: on.ticket(job) })
      // Its old time no longer counts.
      expect((await on.lastEvent(job)).data).toEqual({ ...ada, changed: ['runAt'] })
      expect((await on.record(job)).runAt).toBeUndefined()
    })

    it('a change of lane alone leaves a scheduled job scheduled and a blocked one blocked', async () => {
      const on = await scene()
      const runAt = (await on.now()) + 3_600_000
      const [scheduled, , blocked] = await on.addAll([{ due: { at: runAt } }, { ordering }, { ordering }])
      for (const job of [scheduled!, blocked!]) await on.log.change(job.id, { lane: 'high' }, ada)
      expect(await on.states([scheduled!, blocked!])).toEqual(['scheduled', 'blocked'])
      expect(await on.record(scheduled!)).toMatchObject({ runAt, lane: 'high' })
    })

    it('the holder of a key that is put off keeps it; one behind it that is due early stays blocked', async () => {
      const on = await scene()
      const runAt = (await on.now()) + 3_600_000
      const [holder, behind] = await on.addAll([{ ordering }, { ordering, due: { at: runAt } }])
      expect(await on.log.change(holder!.id, { runAt }, ada)).toMatchObject({ state: 'scheduled' })
      expect(await on.log.change(behind!.id, { runAt: 0 }, ada)).toEqual({
        state: 'blocked',
        ticket: undefined,
      })
      expect(await on.log.change(holder!.id, { runAt: 0 }, ada)).toMatchObject({ state: 'ready' })
      await on.finish(await on.worker(), holder!)
      expect(await on.state(behind!)).toBe('ready')
    })

    it('a job that runs or is final, the queue of a keyed job, and an unknown job are refused', async () => {
      const on = await scene()
      const { job: running } = await on.start()
      const done = await on.ended(outcomes.succeed())
      const keyed = await on.add({ ordering })
      const refused = { code: 'E_NOT_ALLOWED' }
      await expect(on.log.change(running.id, { lane: 'high' }, ada)).rejects.toMatchObject(refused)
      await expect(on.log.change(done.id, { lane: 'high' }, ada)).rejects.toMatchObject(refused)
      await expect(on.log.change(keyed.id, { queue: on.newQueue() }, ada)).rejects.toMatchObject(refused)
      await expect(on.log.change(randomUUID(), { lane: 'high' }, ada)).rejects.toMatchObject({
        code: 'E_NOT_FOUND',
      })
      expect(await on.story(keyed)).toEqual(['dispatched'])
    })
  })
}
