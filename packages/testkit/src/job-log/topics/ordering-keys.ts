import { describe, expect, it } from 'vitest'
import type { NewJob } from '@errand/core/ports'
import { recorded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const block = { ordering: { key: 'account-7', onFailure: 'block' } } as const satisfies Partial<NewJob>
const skip = { ordering: { key: 'account-7', onFailure: 'skip' } } as const satisfies Partial<NewJob>

export function describeOrderingKeys(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('ordering keys', () => {
    it('the first job of a key is ready, the ones behind it wait without a ticket', async () => {
      const on = await scene()
      const jobs = [on.newJob(block), on.newJob(block), on.newJob(block)]
      const appended = await on.log.append(jobs)
      expect(
        appended.map((answer) => answer.status === 'added' && [answer.state, answer.ticket?.id]),
      ).toEqual([
        ['ready', jobs[0]?.id],
        ['blocked', undefined],
        ['blocked', undefined],
      ])
    })

    it('jobs of one key run one at a time, in the order of their dispatch', async () => {
      const on = await scene()
      const jobs = await on.addAll([block, block, block])
      const worker = await on.worker()
      for (const [turn, job] of jobs.entries()) {
        const claims = await on.take(worker)
        expect(claims.map(({ id }) => id)).toEqual([job.id])
        expect(await on.take(worker)).toEqual([])
        const settled = await on.settle(worker, claims[0]!, outcomes.succeed())
        const next = jobs[turn + 1]
        expect(settled.tickets).toEqual(next ? [on.ticket(next)] : [])
      }
      expect(await on.story(jobs[2]!)).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
    })

    it('other keys, jobs without one, and the same key in another queue do not wait', async () => {
      const on = await scene()
      await on.start(block)
      const free = await on.addAll([
        {},
        { ordering: { key: 'account-8', onFailure: 'block' } },
        { ...block, queue: on.newQueue() },
      ])
      expect(await on.states(free)).toEqual(['ready', 'ready', 'ready'])
    })

    it('a delayed job takes its key at its dispatch: the ones behind it wait for it', async () => {
      const on = await scene()
      const [delayed, behind] = await on.addAll([{ ...block, due: { delayMs: 40 } }, block])
      expect(await on.states([delayed!, behind!])).toEqual(['scheduled', 'blocked'])
      const { tickets } = await on.sweepUntil(async () => (await on.state(delayed!)) === 'ready')
      expect(tickets).toEqual([on.ticket(delayed!)])
      expect(await on.state(behind!)).toBe('blocked')
      await on.finish(await on.worker(), delayed!)
      expect(await on.state(behind!)).toBe('ready')
    })

    it('a delayed job that becomes due before its turn is blocked, and runs when its turn has come', async () => {
      const on = await scene()
      const { worker, claim } = await on.start(block)
      const [delayed, last] = await on.addAll([{ ...block, due: { delayMs: 20 } }, block])
      expect(await on.state(delayed!)).toBe('scheduled')
      const { tickets } = await on.sweepUntil(async () => (await on.state(delayed!)) === 'blocked')
      expect(tickets).toEqual([])
      expect((await on.settle(worker, claim, outcomes.succeed())).tickets).toEqual([on.ticket(delayed!)])
      expect(await on.story(delayed!)).toEqual(['dispatched', 'due', 'unblocked'])
      expect(await on.state(last!)).toBe('blocked')
    })

    it('a delayed job whose turn comes early takes the key and stays scheduled: nobody overtakes it', async () => {
      const on = await scene()
      const { worker, claim } = await on.start(block)
      const [delayed, last] = await on.addAll([{ ...block, due: { delayMs: 3_600_000 } }, block])
      expect((await on.settle(worker, claim, outcomes.succeed())).tickets).toEqual([])
      expect(await on.states([delayed!, last!])).toEqual(['scheduled', 'blocked'])
      const changed = await on.log.change(delayed!.id, { runAt: 0 }, { by: 'ada' })
      expect(changed.state).toBe('ready')
      await on.finish(worker, delayed!)
      expect(await on.state(last!)).toBe('ready')
    })

    it('a job that waits for its retry, was snoozed or released keeps its key', async () => {
      const on = await scene()
      const { job, worker, claim: first } = await on.start(block)
      const behind = await on.add(block)
      let claim = first
      for (const outcome of [outcomes.retry(0), outcomes.snooze(0), outcomes.release(true)]) {
        expect((await on.settle(worker, claim, outcome)).tickets.map(({ id }) => id)).not.toContain(behind.id)
        expect(await on.state(behind)).toBe('blocked')
        await on.sweepUntil(async () => (await on.state(job)) === 'ready')
        claim = await on.claim(worker, job)
      }
      await on.settle(worker, claim, outcomes.succeed())
      expect(await on.state(behind)).toBe('ready')
    })

    it('a lost job keeps its key and runs again before the ones behind it', async () => {
      const on = await scene()
      const [job, behind] = await on.addAll([block, block])
      await on.lose(job!)
      expect(await on.states([job!, behind!])).toEqual(['ready', 'blocked'])
    })

    it('a job that failed for good blocks its key, until an operator skips it', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(block)
      const [second, third] = await on.addAll([block, block])
      expect((await on.settle(worker, claim, outcomes.exhaust())).tickets).toEqual([])
      await on.sweep()
      expect(await on.states([second!, third!])).toEqual(['blocked', 'blocked'])
      const keys = await on.log.blockedKeys(1_000)
      expect(keys).toContainEqual({ queue: on.queue, key: 'account-7', holder: job.id, waiting: 2 })

      expect(await on.log.skip([job.id], { by: 'ada', reason: 'refunded by hand' })).toEqual({
        skipped: 1,
        tickets: [on.ticket(second!)],
      })
      expect(await on.states([job, second!, third!])).toEqual(['failed', 'ready', 'blocked'])
      expect(await on.lastEvent(job)).toMatchObject({
        type: 'skipped',
        state: 'failed',
        data: { by: 'ada', reason: 'refunded by hand' },
      })
    })

    it('a job that failed for good and is replayed still goes first', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start(block)
      const behind = await on.add(block)
      await on.settle(worker, claim, outcomes.fail())
      expect((await on.log.replay([job.id], { by: 'ada' })).tickets).toEqual([on.ticket(job)])
      expect(await on.states([job, behind])).toEqual(['ready', 'blocked'])
      await on.finish(worker, job)
      expect(await on.state(behind)).toBe('ready')
    })

    it('a job that is dispatched behind a failed holder waits too', async () => {
      const on = await scene()
      await on.ended(outcomes.fail(), block)
      expect(await on.state(await on.add(block))).toBe('blocked')
    })

    it('under skip, a job that failed for good passes its key on', async () => {
      const on = await scene()
      const { worker, claim } = await on.start(skip)
      const behind = await on.add(skip)
      expect((await on.settle(worker, claim, outcomes.exhaust())).tickets).toEqual([on.ticket(behind)])
      expect(await on.state(behind)).toBe('ready')
      expect((await on.log.blockedKeys(1_000)).filter(({ queue }) => queue === on.queue)).toEqual([])
    })

    it("it is the failed job's own policy that counts, not its successor's", async () => {
      const on = await scene()
      const first = await on.start(skip)
      const second = await on.add(block)
      const third = await on.add(skip)
      await on.settle(first.worker, first.claim, outcomes.fail())
      expect(await on.states([second, third])).toEqual(['ready', 'blocked'])
      await on.settle(first.worker, await on.claim(first.worker, second), outcomes.fail())
      expect(await on.state(third)).toBe('blocked')
    })

    it('a cancelled job passes its key on, whether it waited or ran', async () => {
      const on = await scene()
      const [first, second, third] = await on.addAll([block, block, block])
      expect((await on.log.cancel([first!.id], { by: 'ada' })).tickets).toEqual([on.ticket(second!)])
      const worker = await on.worker()
      const claim = await on.claim(worker, second!)
      await on.log.cancel([second!.id], { by: 'ada' })
      expect((await on.settle(worker, claim, outcomes.fail())).tickets).toEqual([on.ticket(third!)])
      expect(await on.states([first!, second!, third!])).toEqual(['cancelled', 'cancelled', 'ready'])
    })

    it('a job that is cancelled in the middle of the line changes nothing for the others', async () => {
      const on = await scene()
      const [first, second, third] = await on.addAll([block, block, block])
      expect((await on.log.cancel([second!.id], { by: 'ada' })).tickets).toEqual([])
      expect(await on.states([first!, third!])).toEqual(['ready', 'blocked'])
      await on.finish(await on.worker(), first!)
      expect(await on.state(third!)).toBe('ready')
    })

    it('when the last job of a key has ended, the key is free again', async () => {
      const on = await scene()
      for (const outcome of [outcomes.succeed(), outcomes.cancel()]) {
        await on.ended(outcome, block)
        const next = await on.add(block)
        expect(await on.state(next)).toBe('ready')
        await on.log.cancel([next.id], { by: 'ada' })
      }
    })

    it('a lost job that fails for good follows its policy', async () => {
      const on = await scene()
      const [blocking, waits] = await on.addAll([{ ...block, maxCrashes: 1 }, block])
      await on.lose(blocking!)
      expect(await on.states([blocking!, waits!])).toEqual(['failed', 'blocked'])

      const other = { ordering: { key: 'account-9', onFailure: 'skip' } } as const
      const [skipping, goes] = await on.addAll([{ ...other, maxCrashes: 1 }, other])
      const worker = await on.worker()
      await on.claim(worker, skipping!)
      await on.vanish(worker)
      const { tickets } = await on.sweepUntil(async () => (await on.state(skipping!)) === 'failed')
      expect(await on.state(goes!)).toBe('ready')
      expect(tickets).toContainEqual(on.ticket(goes!))
    })

    it('a lane does not overtake within a key', async () => {
      const on = await scene()
      const [low, critical] = await on.addAll([
        { ...block, lane: 'low' },
        { ...block, lane: 'critical' },
      ])
      const worker = await on.worker()
      expect((await on.take(worker)).map(({ id }) => id)).toEqual([low?.id])
      expect(await on.state(critical!)).toBe('blocked')
    })

    it('two jobs of one key that end in one batch pass it on twice', async () => {
      const on = await scene()
      const other = { ordering: { key: 'account-8', onFailure: 'block' } } as const
      const [a1, b1, a2, b2] = await on.addAll([block, other, block, other])
      const worker = await on.worker()
      const claims = await on.take(worker)
      expect(claims.map(({ id }) => id)).toEqual([a1?.id, b1?.id])
      const settled = recorded(
        await on.log.settle(
          claims.map((claim) => ({
            id: claim.id,
            run: claim.run,
            durationMs: 1,
            outcome: outcomes.succeed(),
          })),
          worker,
        ),
      )
      expect(settled.flatMap(({ tickets }) => tickets.map(({ id }) => id)).toSorted()).toEqual(
        [a2!.id, b2!.id].toSorted(),
      )
      expect(await on.states([a2!, b2!])).toEqual(['ready', 'ready'])
    })

    it('a deep blocked key costs the others nothing: they are taken past it', async () => {
      const on = await scene()
      await on.addAll(Array.from({ length: 200 }, () => ({ ...block, lane: 'critical' as const })))
      const free = await on.add({ lane: 'low' })
      const worker = await on.worker()
      expect((await on.take(worker)).map(({ id }) => id)).toContain(free.id)
    })
  })
}
