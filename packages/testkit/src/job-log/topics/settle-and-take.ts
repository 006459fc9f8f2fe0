import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { TestContext } from 'vitest'
import type { Claim, NewJob, SettledAndTaken, SettledOutcome, WorkerRef } from '@errand/core/ports'
import { outcomes, recorded, settlement } from '../../fixtures.ts'
import { checkHistory } from '../../history/check.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

/** Whether a log offers it or not, the worker does the same. So only what it offers is tested. */
export function describeSettleAndTake(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const ordering = { key: 'account-7', onFailure: 'block' } as const

  const begin = async (test: TestContext, make = scene): Promise<Scene> => {
    const on = await make()
    if (!on.log.settleAndTake) test.skip('the log settles and takes apart')
    return on
  }
  const ask = (
    on: Scene,
    worker: WorkerRef,
    ended: readonly (readonly [Claim, SettledOutcome])[],
    { max = 10, request = randomUUID(), log = on.log } = {},
  ): Promise<SettledAndTaken> =>
    log.settleAndTake!(
      ended.map(([claim, outcome]) => settlement(claim, outcome)),
      [on.queue],
      max,
      worker,
      request,
    )
  /** As a worker does: what was left is settled apart. */
  const askAll = async (...[on, worker, ended, options]: Parameters<typeof ask>) => {
    const { settled, claims } = await ask(on, worker, ended, options)
    const rest = ended.filter((_, index) => settled[index] === undefined)
    const { log = on.log } = options ?? {}
    const apart = recorded(
      await log.settle(
        rest.map(([claim, outcome]) => settlement(claim, outcome)),
        worker,
      ),
    ).values()
    return { settled: settled.map((answer) => answer ?? apart.next().value!), claims }
  }
  const idsOf = (claims: readonly { readonly id: string }[]): string[] => claims.map(({ id }) => id)

  describe('settle and take in one call, where the log offers it', () => {
    it('records how runs ended, whatever the outcome, and grants the next jobs', async (test) => {
      const on = await begin(test)
      const worker = await on.worker()
      const ends = [outcomes.succeed(), outcomes.retry(60_000), outcomes.fail(), outcomes.succeed()]
      await on.addAll([{}, {}, {}, { unique: { key: 'u', until: 'finished' } }])
      const claims = await on.take(worker)
      const next = await on.add()
      const { settled, claims: granted } = await askAll(
        on,
        worker,
        claims.map((claim, index) => [claim, ends[index]!] as const),
      )
      expect(settled.map(({ event }) => event)).toEqual(['succeeded', 'errored', 'failed', 'succeeded'])
      expect(await on.states(claims)).toEqual(['succeeded', 'scheduled', 'failed', 'succeeded'])
      expect(idsOf(granted)).toEqual([next.id])
      expect(granted[0]).toMatchObject({ run: 1, attempt: 1, job: { queue: on.queue } })
      expect(await on.record(next)).toMatchObject({ state: 'running', worker: worker.id })
    })

    it('grants the next job of a key with the end of the one before it, however long the line is', async (test) => {
      const on = await begin(test)
      const worker = await on.worker()
      const line = await on.addAll([{ ordering }, { ordering }, { ordering }])
      let [claim] = await on.take(worker)
      const seen = [claim!.id]
      while (claim) {
        const { settled, claims } = await ask(on, worker, [[claim, outcomes.succeed()]])
        expect(settled[0]).toMatchObject({ result: 'settled', pending: false })
        ;[claim] = claims
        if (claim) seen.push(claim.id)
      }
      expect(seen).toEqual(idsOf(line))
      expect(await on.story(line[1]!)).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
    })

    it('goes by lanes all the same: the next job of a key waits for its turn, and has a ticket', async (test) => {
      const on = await begin(test)
      const worker = await on.worker()
      await on.add({ ordering })
      const [claim] = await on.take(worker)
      const next = await on.add({ ordering })
      const urgent = await on.add({ lane: 'critical' })
      const { settled, claims } = await ask(on, worker, [[claim!, outcomes.succeed()]], { max: 1 })
      expect(idsOf(claims)).toEqual([urgent.id])
      expect(settled[0]?.tickets).toEqual([on.ticket(next)])
    })

    it('grants nothing of a paused queue, and records the outcomes', async (test) => {
      const on = await begin(test)
      const { job, worker, claim } = await on.start()
      const waiting = await on.add()
      await on.log.pause(on.queue, { by: 'ada' })
      const { claims } = await ask(on, worker, [[claim, outcomes.succeed()]])
      expect(claims).toEqual([])
      expect(await on.states([job, waiting])).toEqual(['succeeded', 'ready'])
      await on.log.resume(on.queue, { by: 'ada' })
    })

    it('asked again with the same request it answers the same: settled already, and the same claims', async (test) => {
      const on = await begin(test)
      const { job, worker, claim } = await on.start({ ordering })
      const line = await on.addAll([{ ordering }, {}, {}])
      const request = randomUUID()
      const again = (): Promise<SettledAndTaken> =>
        ask(on, worker, [[claim, outcomes.succeed()]], { max: 2, request })
      const first = await again()
      expect(first.claims).toHaveLength(2)
      const second = await again()
      expect(second.settled[0] ?? { result: 'already' }).toMatchObject({ result: 'already' })
      expect(second.claims.map(({ id, run }) => [id, run])).toEqual(
        first.claims.map(({ id, run }) => [id, run]),
      )
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
      expect((await on.states(line)).filter((state) => state === 'running')).toHaveLength(2)
    })

    it('an answer that was lost is given by each call apart', async (test) => {
      const on = await begin(test)
      const { worker, claim } = await on.start()
      await on.addAll([{}, {}])
      const request = randomUUID()
      const { claims } = await ask(on, worker, [[claim, outcomes.succeed()]], { max: 1, request })
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ result: 'already' })
      expect(idsOf(await on.log.take([on.queue], 2, worker, request))).toEqual(idsOf(claims))
    })

    it('without a lease it throws and records nothing: the outcome counts when it comes alone', async (test) => {
      const on = await begin(test)
      const { job, worker, claim } = await on.start()
      const waiting = await on.add()
      await on.log.leave(worker)
      await expect(ask(on, worker, [[claim, outcomes.succeed()]])).rejects.toMatchObject({
        code: 'E_LEASE_OUT',
      })
      expect(await on.states([job, waiting])).toEqual(['running', 'ready'])
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ result: 'settled' })
    })

    it('a run that is no longer the worker’s is fenced; its neighbours are recorded, and jobs granted', async (test) => {
      const on = await begin(test)
      const worker = await on.worker()
      const lost = await on.start()
      const mine = await on.start({}, worker)
      const next = await on.add()
      const { settled, claims } = await askAll(on, worker, [
        [lost.claim, outcomes.succeed()],
        [mine.claim, outcomes.succeed()],
      ])
      expect(settled.map(({ result }) => result)).toEqual(['claim-lost', 'settled'])
      expect(idsOf(claims)).toEqual([next.id])
      expect(await on.states([lost.job, mine.job])).toEqual(['running', 'succeeded'])
    })

    it('many workers that only ask so keep every promise: each job runs once, each key in order', async (test) => {
      const on = await begin(test, fresh)
      const jobs = await on.addAll(
        Array.from({ length: 120 }, (_, n): Partial<NewJob> =>
          n % 3 === 0 ? {} : { ordering: { key: `k${n % 5}`, onFailure: 'block' } },
        ),
      )
      const work = async (): Promise<string[]> => {
        const log = await on.another()
        const worker = await on.worker()
        const ran: string[] = []
        let claims: readonly Claim[] = []
        await on.until(async () => {
          ran.push(...idsOf(claims))
          const ended = claims.map((claim) => [claim, outcomes.succeed()] as const)
          if (ended.length === 0) claims = await log.take([on.queue], 3, worker, randomUUID())
          else ({ claims } = await askAll(on, worker, ended, { max: 3, log }))
          return claims.length === 0 && (await on.states(jobs)).every((state) => state === 'succeeded')
        }, 'all jobs have run')
        return ran
      }
      const ran = await Promise.all([work(), work(), work()])
      expect(ran.flat().toSorted()).toEqual(idsOf(jobs).toSorted())
      const events = (await Promise.all(jobs.map((job) => on.events(job)))).flat()
      const dispatched = jobs.map((job) => ({ id: job.id, onFailure: job.ordering?.onFailure }))
      expect(checkHistory({ events, dispatched })).toEqual([])
    })

    describe.runIf(harness.capabilities.transactions === 'row-locks')('beside open transactions', () => {
      it('a job that one has locked is left to a call of its own: nothing waits for it', async (test) => {
        const on = await begin(test)
        const { job, worker, claim } = await on.start()
        const other = await on.start({}, worker)
        const next = await on.add()
        const open = await on.begin()
        await on.log.complete(claim, undefined, worker, open.tx)
        const { settled, claims } = await ask(on, worker, [
          [claim, outcomes.completed()],
          [other.claim, outcomes.succeed()],
        ])
        expect(settled.map((answer) => answer?.result)).toEqual([undefined, 'settled'])
        expect(idsOf(claims)).toEqual([next.id])
        await open.commit()
        expect(await on.settle(worker, claim, outcomes.completed())).toMatchObject({ result: 'settled' })
        expect(await on.state(job)).toBe('succeeded')
      })

      it('a key that a dispatch has locked is passed on later, and other jobs are granted', async (test) => {
        const on = await begin(test)
        const { worker, claim } = await on.start({ ordering })
        const next = await on.add()
        const open = await on.begin()
        await on.log.append([on.newJob({ ordering })], { tx: open.tx })
        const { settled, claims } = await ask(on, worker, [[claim, outcomes.succeed()]])
        expect(settled[0]).toMatchObject({ result: 'settled', pending: true })
        expect(idsOf(claims)).toEqual([next.id])
        await open.commit()
      })
    })
  })
}
