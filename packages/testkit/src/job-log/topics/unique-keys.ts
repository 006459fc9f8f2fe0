import { describe, expect, it } from 'vitest'
import type { NewJob } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

type Unique = NonNullable<NewJob['unique']>
const finished: Unique = { key: 'cat.png', until: 'finished' }
const started: Unique = { key: 'cat.png', until: 'started' }

export function describeUniqueKeys(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  /** Dispatches with the key. Returns `added`, or which job it duplicates. */
  const offer = async (on: Scene, unique: Unique = finished): Promise<string> => {
    const [answer] = await on.log.append([on.newJob({ unique })])
    return answer?.status === 'duplicate' ? answer.id : String(answer?.status)
  }

  describe('unique keys', () => {
    it('while a key is held, a dispatch is a duplicate, answers with the live job, and leaves no trace', async () => {
      const on = await scene()
      const job = await on.add({ unique: finished })
      const second = on.newJob({ unique: finished })
      expect(await on.log.append([second])).toEqual([{ id: job.id, status: 'duplicate' }])
      expect(await on.log.get(second.id)).toBeUndefined()
      expect(await on.events(second)).toEqual([])
      expect(await on.story(job)).toEqual(['dispatched'])
    })

    it('a duplicate does not enter the line of its ordering key', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const job = await on.add({ unique: finished, ordering })
      await on.log.append([on.newJob({ unique: finished, ordering })])
      await on.finish(await on.worker(), job)
      expect(await on.state(await on.add({ ordering }))).toBe('ready')
    })

    it('keys belong to a job name: another job may have the same', async () => {
      const on = await scene()
      await on.add({ unique: finished })
      const [answer] = await on.log.append([on.newJob({ name: `${on.jobName}-other`, unique: finished })])
      expect(answer?.status).toBe('added')
    })

    it('of two dispatches in one batch, the second is the duplicate of the first', async () => {
      const on = await scene()
      const [first, second] = [on.newJob({ unique: finished }), on.newJob({ unique: finished })]
      const appended = await on.log.append([first, second])
      expect(appended.map(({ id, status }) => [id, status])).toEqual([
        [first.id, 'added'],
        [first.id, 'duplicate'],
      ])
    })

    it('a key is held while its job waits, is delayed, runs, and waits for its retry', async () => {
      const on = await scene()
      const job = await on.add({ unique: finished, due: { delayMs: 20 } })
      expect(await offer(on)).toBe(job.id)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const worker = await on.worker()
      const claim = await on.claim(worker, job)
      expect(await offer(on)).toBe(job.id)
      await on.settle(worker, claim, outcomes.retry(3_600_000))
      expect(await offer(on)).toBe(job.id)
    })

    it.each([
      ['succeeded', outcomes.succeed()],
      ['failed', outcomes.exhaust()],
      ['failed without an error', outcomes.fail()],
      ['cancelled itself', outcomes.cancel()],
    ] as const)('a job that has %s frees its key', async (_, outcome) => {
      const on = await scene()
      await on.ended(outcome, { unique: finished })
      expect(await offer(on)).toBe('added')
    })

    it('a job that was cancelled while it waited, or was lost for good, frees its key', async () => {
      const on = await scene()
      const waiting = await on.add({ unique: finished })
      await on.log.cancel([waiting.id], { by: 'ada' })
      const doomed = await on.add({ unique: finished, maxCrashes: 1 })
      await on.lose(doomed)
      expect(await on.state(doomed)).toBe('failed')
      expect(await offer(on)).toBe('added')
    })

    it('until started, the key is free as soon as the job runs', async () => {
      const on = await scene()
      const job = await on.add({ unique: started })
      expect(await offer(on, started)).toBe(job.id)
      await on.claim(await on.worker(), job)
      expect(await offer(on, started)).toBe('added')
    })

    it('until started, a retry does not take the key back from the next job', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start({ unique: started })
      const next = await on.add({ unique: started })
      await on.settle(worker, claim, outcomes.retry(0))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.finish(worker, job)
      expect(await offer(on, started)).toBe(next.id)
    })

    it('with a time, the key outlives the success of its job, and is then free', async () => {
      const on = await scene()
      const unique = { ...finished, forMs: 250 }
      const job = await on.ended(outcomes.succeed(), { unique })
      const since = (await on.record(job)).dispatchedAt
      // On a slow machine the time may be over by now. Then the test cannot see that the key was held.
      const early = await offer(on, { ...finished, key: finished.key })
      if ((await on.now()) < since + 250) expect(early).toBe(job.id)
      if (early === 'added') return
      await on.until(async () => (await offer(on)) === 'added', 'the key is free again')
      expect(await on.now()).toBeGreaterThanOrEqual(since + 250)
    })

    it('with a long time, the key is held after success and after the start', async () => {
      const on = await scene()
      const unique = { ...finished, forMs: 3_600_000 }
      const job = await on.ended(outcomes.succeed(), { unique })
      expect(await offer(on)).toBe(job.id)

      const key = { key: 'dog.png', until: 'started', forMs: 3_600_000 } as const
      const { job: running } = await on.start({ unique: key })
      expect(await offer(on, key)).toBe(running.id)
    })

    it('a failed or cancelled job frees its key at once, time or not', async () => {
      const on = await scene()
      const unique = { ...finished, forMs: 3_600_000 }
      await on.ended(outcomes.fail(), { unique })
      await on.ended(outcomes.cancel(), { unique })
      const waiting = await on.add({ unique })
      await on.log.cancel([waiting.id], { by: 'ada' })
      expect(await offer(on)).toBe('added')
    })

    it('a time that is over does not free the key of a job that still lives', async () => {
      const on = await scene()
      const job = await on.add({ unique: { ...finished, forMs: 1 } })
      await on.pass(5)
      expect(await offer(on)).toBe(job.id)
    })

    it('a key that is held for a time is free when its job is pruned', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed(), { unique: { ...finished, forMs: 3_600_000 } })
      await on.until(async () => {
        await on.log.prune({ succeededMs: 0, failedMs: 86_400_000, limit: 100 })
        return (await on.log.get(job.id)) === undefined
      }, 'the job is pruned')
      expect(await offer(on)).toBe('added')
    })

    describe('of a debounced job', () => {
      const times = { waitMs: 3_600_000, atMostMs: 7_200_000 }
      const newer = { codec: 'json', text: '{"text":"newer"}' }
      const add = (on: Scene, overrides: Partial<NewJob> = {}): Promise<NewJob> =>
        on.add({ unique: started, due: { delayMs: times.waitMs }, ...overrides })

      it('the newest payload replaces that of the job that waits, and puts it off', async () => {
        const on = await scene()
        const job = await add(on, { due: { delayMs: 60_000 } })
        const before = await on.now()
        expect(await on.log.debounce(job.id, newer, times)).toEqual({ status: 'replaced', ticket: undefined })
        const record = await on.record(job)
        expect(record).toMatchObject({ state: 'scheduled', payload: newer })
        expect(record.runAt).toBeGreaterThanOrEqual(before + times.waitMs)
        expect(record.runAt).toBeLessThanOrEqual((await on.now()) + times.waitMs)
        const event = (await on.events(job)).at(-1)
        expect(event).toMatchObject({
          type: 'changed',
          data: { by: 'debounce', changed: ['runAt', 'payload'] },
        })
      })

      it('a steady stream does not put it off for longer than its bound after the first dispatch', async () => {
        const on = await scene()
        const job = await add(on)
        const { dispatchedAt } = await on.record(job)
        await on.log.debounce(job.id, newer, { waitMs: 7_200_000, atMostMs: 3_600_001 })
        expect((await on.record(job)).runAt).toBe(dispatchedAt + 3_600_001)
        const ticket = on.ticket(job)
        const now = { waitMs: 3_600_000, atMostMs: 0 }
        expect(await on.log.debounce(job.id, newer, now)).toEqual({ status: 'replaced', ticket })
        expect(await on.state(job)).toBe('ready')
        // Ready as it is, its ticket is out: the next dispatch needs no other one.
        expect(await on.log.debounce(job.id, newer, times)).toEqual({ status: 'replaced', ticket: undefined })
        expect(await on.state(job)).toBe('ready')
        const [claim] = await on.take(await on.worker())
        expect(claim?.job).toMatchObject({ id: job.id, payload: newer })
      })

      it('a stream of dispatches does not hide that the ticket of a ready job is lost', async () => {
        const on = await scene()
        const job = await on.add({ unique: started, publishGraceMs: 0 })
        await on.log.debounce(job.id, newer, times)
        const { tickets } = await on.sweepUntil(async () => true, { republish: true })
        expect(tickets).toEqual([on.ticket(job)])
      })

      it('once it has started, or has ended, nothing is replaced', async () => {
        const on = await scene()
        const job = await on.add({ unique: started })
        const worker = await on.worker()
        const claim = await on.claim(worker, job)
        expect(await on.log.debounce(job.id, newer, times)).toEqual({ status: 'started' })
        await on.settle(worker, claim, outcomes.succeed())
        expect(await on.log.debounce(job.id, newer, times)).toEqual({ status: 'started' })
        expect(await on.log.debounce(on.newJob().id, newer, times)).toEqual({ status: 'started' })
        expect((await on.record(job)).payload).toEqual(job.payload)
      })

      it('behind an ordering key it is blocked when its time has come, and stays in its line', async () => {
        const on = await scene()
        const ordering = { key: 'k', onFailure: 'block' } as const
        const first = await on.add({ ordering })
        const job = await add(on, { ordering })
        await on.log.debounce(job.id, newer, { waitMs: 1, atMostMs: 0 })
        expect(await on.state(job)).toBe('blocked')
        expect(await on.log.debounce(job.id, newer, times)).toEqual({ status: 'replaced', ticket: undefined })
        expect(await on.state(job)).toBe('blocked')
        await on.finish(await on.worker(), first)
        expect(await on.state(job)).toBe('ready')
      })
    })
  })
}
