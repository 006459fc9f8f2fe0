import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Claim, NewJob, QueueName, TakeOptions, Verdict, WorkerRef } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import { seeded } from '../../seeded.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const by = { by: 'ada', reason: 'the disk is slow' }
const words = (verdicts: readonly Verdict[]): string =>
  verdicts.map((each) => (each.verdict === 'drop' ? each.why : each.verdict)).join(' ')
const started = (verdicts: readonly Verdict[]): Claim[] =>
  verdicts.flatMap((each) => (each.verdict === 'run' ? [each.claim] : []))

const claimAll = (
  on: Scene,
  worker: WorkerRef,
  jobs: readonly NewJob[],
  request: string = randomUUID(),
): Promise<readonly Verdict[]> =>
  on.log.claim(
    jobs.map((job) => on.ticket(job)),
    jobs.length,
    worker,
    request,
  )

/** What was taken, and which queues were said to be full. */
async function take(
  on: Scene,
  worker: WorkerRef,
  max = 10,
  queues: readonly QueueName[] = [on.queue],
  options: TakeOptions = {},
): Promise<{ claims: readonly Claim[]; full: readonly QueueName[] }> {
  let full: readonly QueueName[] = []
  const claims = await on.log.take(queues, max, worker, randomUUID(), {
    ...options,
    full: (these) => {
      full = these
    },
  })
  return { claims, full }
}

export function describeLimitedQueues(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('a queue with a limit', () => {
    it('runs no more jobs at a time than that, over all workers, also of those that waited before', async () => {
      const on = await scene()
      await on.addAll(Array.from({ length: 6 }, () => ({})))
      const [one, two] = [await on.worker(), await on.worker()]
      await on.log.limitQueue(on.queue, 3, by)
      expect((await take(on, one, 2)).claims).toHaveLength(2)
      const { claims, full } = await take(on, two, 2)
      expect(claims).toHaveLength(1)
      expect(full).toEqual([on.queue])
      expect(await take(on, one)).toEqual({ claims: [], full: [on.queue] })
      await on.settle(two, claims[0]!, outcomes.succeed())
      expect((await take(on, one)).claims).toHaveLength(1)
    })

    it('grants no more by tickets either, and says that it is full', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}, {}])
      const worker = await on.worker()
      await on.log.limitQueue(on.queue, 2, by)
      const verdicts = await claimAll(on, worker, jobs)
      expect(words(verdicts)).toBe('run run full full')
      expect(words(await claimAll(on, await on.worker(), jobs))).toBe('busy busy full full')
      await on.settle(worker, started(verdicts)[0]!, outcomes.succeed())
      expect(words(await claimAll(on, worker, jobs))).toBe('finished busy run full')
    })

    it('grants the places of jobs that share to those whose turn it is', async () => {
      const on = await scene()
      const jobs = await on.addAll(['a', 'a', 'a', 'b', 'b'].map((shareKey) => ({ shareKey })))
      const worker = await on.worker()
      await on.log.limitQueue(on.queue, 2, by)
      const verdicts = await claimAll(on, worker, jobs.slice(1))
      expect(
        started(verdicts)
          .map(({ id }) => id)
          .toSorted(),
      ).toEqual([jobs[0]!.id, jobs[3]!.id].toSorted())
      expect(
        words(verdicts)
          .split(' ')
          .filter((word) => word === 'full'),
      ).toHaveLength(2)
      for (const claim of started(verdicts)) await on.settle(worker, claim, outcomes.succeed())
      // Both tickets are of jobs that have ended: rights to two others.
      await on.log.limitQueue(on.queue, 1, by)
      expect(words(await claimAll(on, worker, [jobs[0]!, jobs[3]!]))).toBe('run full')
    })

    it('lets what runs end if the limit is lowered, and grants none before there is a place', async () => {
      const on = await scene()
      await on.addAll([{}, {}, {}, {}, {}])
      const worker = await on.worker()
      const { claims } = await take(on, worker, 3)
      await on.log.limitQueue(on.queue, 1, by)
      for (const claim of claims) {
        expect((await take(on, worker)).claims).toEqual([])
        expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ result: 'settled' })
      }
      expect((await take(on, worker)).claims).toHaveLength(1)
    })

    it('runs more once the limit is raised, and all once it is gone', async () => {
      const on = await scene()
      await on.addAll([{}, {}, {}, {}, {}])
      const worker = await on.worker()
      await on.log.limitQueue(on.queue, 1, by)
      expect((await take(on, worker)).claims).toHaveLength(1)
      await on.log.limitQueue(on.queue, 3, by)
      expect((await take(on, worker)).claims).toHaveLength(2)
      await on.log.limitQueue(on.queue, undefined, by)
      expect(await take(on, worker)).toMatchObject({ claims: [{}, {}], full: [] })
    })

    it('takes nothing from its neighbours: they get what it cannot use', async () => {
      const on = await scene()
      const other = on.newQueue()
      await on.addAll([
        ...Array.from({ length: 8 }, () => ({})),
        ...Array.from({ length: 8 }, () => ({ queue: other })),
      ])
      const worker = await on.worker({}, [on.queue, other])
      await on.log.limitQueue(on.queue, 1, by)
      const { claims, full } = await take(on, worker, 6, [on.queue, other])
      expect(claims.map(({ job }) => job.queue)).toEqual([
        on.queue,
        ...Array.from({ length: 5 }, () => other),
      ])
      expect(full).toEqual([on.queue])
    })

    it('counts what is taken from the lowest lanes and what is overdue', async () => {
      const on = await scene()
      await on.addAll([
        ...Array.from({ length: 4 }, () => ({ publishGraceMs: 0 })),
        { lane: 'low', publishGraceMs: 0 },
      ])
      const worker = await on.worker()
      await on.pass(5)
      await on.log.limitQueue(on.queue, 2, by)
      const overdue = await take(on, worker, 10, [on.queue], { overdue: true })
      expect(overdue.claims).toHaveLength(2)
      expect(overdue.full).toEqual([on.queue])
      await on.log.limitQueue(on.queue, 3, by)
      expect((await take(on, worker, 4, [on.queue], { fromLowest: 2 })).claims).toHaveLength(1)
    })

    it('with the end of one job the next one is granted in the same call', async () => {
      const on = await scene()
      if (!on.log.settleAndTake) return
      await on.addAll([{}, {}, {}])
      const worker = await on.worker()
      await on.log.limitQueue(on.queue, 1, by)
      const [first] = (await take(on, worker)).claims
      const settlement = { id: first!.id, run: first!.run, durationMs: 1, outcome: outcomes.succeed() }
      const { claims } = await on.log.settleAndTake([settlement], [on.queue], 5, worker, randomUUID())
      expect(claims).toHaveLength(1)
    })

    it('gives a place back when a run is lost, and grants it again', async () => {
      const on = await scene()
      const [job] = await on.addAll([{}, {}])
      await on.log.limitQueue(on.queue, 1, by)
      await on.lose(job!)
      expect((await take(on, await on.worker())).claims).toHaveLength(1)
    })

    it('answers a repeated request with the same claims, and no more', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}])
      const worker = await on.worker()
      await on.log.limitQueue(on.queue, 2, by)
      const request = randomUUID()
      const first = await claimAll(on, worker, jobs, request)
      const again = await claimAll(on, worker, jobs, request)
      expect(words(again)).toBe('run run full')
      expect(started(again).map(({ id }) => id)).toEqual(started(first).map(({ id }) => id))
    })

    it('is shown with who limited it, also without jobs; one without a limit shows none', async () => {
      const on = await scene()
      await on.add()
      const find = async () => (await on.log.queues()).find(({ name }) => name === on.queue)
      expect((await find())?.limit).toBeUndefined()
      const idle = on.newQueue()
      for (const queue of [on.queue, idle]) await on.log.limitQueue(queue, 7, by)
      expect((await find())?.limit).toEqual({ concurrency: 7, by: 'ada' })
      expect((await on.log.queues()).find(({ name }) => name === idle)?.limit?.concurrency).toBe(7)
      await on.log.limitQueue(on.queue, undefined, by)
      await on.log.limitQueue(idle, undefined, by)
      expect((await find())?.limit).toBeUndefined()
    })

    it.each([1, 2, 3])('never runs more, whoever asks at the same time (seed %i)', async (seed) => {
      const on = await scene()
      const random = seeded(seed)
      const jobs = await on.addAll(
        Array.from({ length: 60 }, (_, at) => (at % 3 === 0 ? { shareKey: `${at % 4}` } : {})),
      )
      const workers = await Promise.all([1, 2, 3, 4].map(() => on.worker()))
      const limit = 3
      await on.log.limitQueue(on.queue, limit, by)
      let ended = 0
      let running = 0
      let most = 0
      const live = async (worker: WorkerRef): Promise<void> => {
        while (ended < jobs.length) {
          const tickets = jobs.filter(() => random() < 0.3)
          const claims =
            random() < 0.5
              ? (await take(on, worker, 1 + Math.floor(random() * 4))).claims
              : started(await claimAll(on, worker, tickets))
          running += claims.length
          most = Math.max(most, running)
          for (const claim of claims) {
            // Counted before the log hears of it.
            running -= 1
            await on.settle(worker, claim, outcomes.succeed())
            ended += 1
          }
        }
      }
      await Promise.all(workers.map((worker) => live(worker)))
      expect(most).toBeGreaterThan(0)
      expect(most).toBeLessThanOrEqual(limit)
      expect(ended).toBe(jobs.length)
    })
  })
}
