import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Claim, JobLog, NewJob, WorkerRef } from '@errand/core/ports'
import { outcomes, recorded, settlement } from '../../fixtures.ts'
import { checkHistory, describeViolations } from '../../history/check.ts'
import { readDispatched } from '../../history/read.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

export function describeConcurrency(harness: JobLogHarness): void {
  const { fresh, scene } = scenes(harness)

  /** Several processes, each with its own worker. */
  const fleet = async (on: Scene, size: number): Promise<{ log: JobLog; worker: WorkerRef }[]> =>
    Promise.all(
      Array.from({ length: size }, async (_, index) => {
        const log = index === 0 ? on.log : await on.another()
        return { log, worker: await on.worker() }
      }),
    )

  const shuffled = <T>(items: readonly T[], seed: number): T[] =>
    items
      .map((item, index) => ({ item, rank: Math.sin(seed * 1_000 + index * 7.13) }))
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ item }) => item)

  const check = async (on: Scene, jobs: readonly NewJob[]) => {
    const events = (await Promise.all(jobs.map((job) => on.events(job)))).flat()
    expect(
      checkHistory({
        events,
        dispatched: jobs.map((job) => ({ id: job.id, onFailure: job.ordering?.onFailure })),
      }),
    ).toEqual([])
  }

  describe('many at once', () => {
    it('every ticket delivered to many workers at once, in any order, is granted once', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 40 }, () => ({})))
      const workers = await fleet(on, 4)
      const verdicts = await Promise.all(
        workers.flatMap(({ log, worker }, index) =>
          [1, 2].map(async (copy) => {
            const tickets = shuffled([...jobs, ...jobs], index * 10 + copy).map((job) => on.ticket(job))
            const granted: Claim[] = []
            // A locked row answers `again`: it is asked again, as a worker would.
            await on.until(async () => {
              const answers = await log.claim(tickets, 100, worker, randomUUID())
              granted.push(...answers.flatMap((answer) => (answer.verdict === 'run' ? [answer.claim] : [])))
              return answers.every(({ verdict }) => verdict !== 'again')
            })
            return granted
          }),
        ),
      )
      const claims = verdicts.flat()
      expect(claims.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
      expect(claims.every(({ run }) => run === 1)).toBe(true)
      await check(on, jobs)
    })

    it('workers that take at the same time share no job and leave none', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 60 }, () => ({})))
      const taken: Claim[] = []
      await Promise.all(
        (await fleet(on, 4)).map(async ({ log, worker }) => {
          let idle = 0
          while (idle < 2) {
            const claims = await log.take([on.queue], 5, worker, randomUUID())
            idle = claims.length === 0 ? idle + 1 : 0
            taken.push(...claims)
          }
        }),
      )
      await on.until(async () => {
        taken.push(...(await on.take(await on.worker())))
        return taken.length >= jobs.length
      })
      expect(taken.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
    })

    it('of dispatches with one unique key at the same time, one is added and the others name it', async () => {
      const on = await scene()
      const logs = (await fleet(on, 4)).map(({ log }) => log)
      for (let round = 0; round < 5; round += 1) {
        const unique = { key: `round-${round}`, until: 'finished' } as const
        const jobs = Array.from({ length: 12 }, () => on.newJob({ unique }))
        const answers = await Promise.all(jobs.map((job, index) => logs[index % 4]!.append([job])))
        const [added, ...more] = answers.flat().filter(({ status }) => status === 'added')
        expect(more).toEqual([])
        const duplicates = answers.flat().filter(({ status }) => status === 'duplicate')
        expect(duplicates).toHaveLength(11)
        expect(new Set(duplicates.map(({ id }) => id))).toEqual(new Set([added?.id]))
      }
    })

    it('a unique key that is freed while others dispatch never comes back without an id', async () => {
      const on = await scene()
      const unique = { key: 'hot', until: 'finished' } as const
      const workers = await fleet(on, 3)
      const ids = new Set<string>()
      await Promise.all(
        workers.map(async ({ log, worker }) => {
          for (let round = 0; round < 20; round += 1) {
            const job = on.newJob({ unique })
            ids.add(job.id)
            const [answer] = await log.append([job])
            expect(answer?.id).toMatch(/^[0-9a-f-]{36}$/)
            expect(['added', 'duplicate']).toContain(answer?.status)
            for (const claim of await log.take([on.queue], 1, worker, randomUUID())) {
              await log.settle([settlement(claim, outcomes.succeed())], worker)
            }
          }
        }),
      )
      expect(ids.size).toBe(60)
      const listed = await on.log.list({ name: on.jobName }, { limit: 100 })
      expect(listed.filter(({ state }) => state !== 'succeeded').length).toBeLessThanOrEqual(1)
    })

    it('one id that is dispatched many times at once is one job', async () => {
      const on = await scene()
      const logs = (await fleet(on, 4)).map(({ log }) => log)
      const job = on.newJob({ ordering: { key: 'k', onFailure: 'block' } })
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) => logs[index % 4]!.append([job])),
      )
      expect(answers.flat().filter(({ status }) => status === 'added')).toHaveLength(1)
      expect(await on.story(job)).toEqual(['dispatched'])
      await on.finish(await on.worker(), job)
      expect(await on.state(await on.add({ ordering: job.ordering }))).toBe('ready')
    })

    it('one run that is settled many times at once ends once', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const logs = (await fleet(on, 3)).map(({ log }) => log)
      const answers = await Promise.all(
        Array.from({ length: 9 }, (_, index) =>
          logs[index % 3]!.settle([settlement(claim, outcomes.succeed())], worker),
        ),
      )
      const results = answers.flat().map(({ result }) => result)
      expect(results.toSorted()).toEqual([...Array.from({ length: 8 }, () => 'already'), 'settled'])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
    })

    it('an operator who cancels while a worker claims gets one end or the other, never both', async () => {
      const on = await scene()
      const worker = await on.worker()
      const other = await on.another()
      const jobs = await on.addAll(Array.from({ length: 25 }, () => ({})))
      for (const job of jobs) {
        const [report, [verdict]] = await Promise.all([
          other.cancel([job.id], { by: 'ada' }),
          on.log.claim([on.ticket(job)], 1, worker, randomUUID()),
        ])
        if (verdict?.verdict === 'run') expect(report).toMatchObject({ cancelled: 0, requested: 1 })
        else expect(report).toMatchObject({ cancelled: 1, requested: 0 })
      }
      await check(on, jobs)
    })

    it('a job that is dispatched while its predecessor ends is neither blocked for ever nor ready beside it', async () => {
      const on = await scene()
      const workers = await fleet(on, 2)
      const ordering = { key: 'k', onFailure: 'block' } as const
      const jobs = [await on.add({ ordering })]
      for (let round = 0; round < 25; round += 1) {
        const [here, there] = round % 2 === 0 ? workers : workers.toReversed()
        const claim = await on.claim(here!.worker, jobs.at(-1)!)
        const next = on.newJob({ ordering })
        const [[settled]] = await Promise.all([
          here!.log.settle([settlement(claim, outcomes.succeed())], here!.worker),
          there!.log.append([next]),
        ])
        expect(settled?.result).toBe('settled')
        jobs.push(next)
        // At once, or a little later if the dispatch had locked the key.
        await on.until(async () => {
          if ((await on.state(next)) !== 'ready') await on.log.passNotes(10)
          return (await on.state(next)) === 'ready'
        }, 'the next job is ready')
      }
      await check(on, jobs)
    })

    it('batches that name the same keys, ids and tickets in different orders do not block each other', async () => {
      const on = await scene()
      const workers = await fleet(on, 4)
      const keys = Array.from({ length: 6 }, (_, index) => `key-${index}`)
      const jobs: NewJob[] = []
      await Promise.all(
        workers.map(async ({ log, worker }, index) => {
          for (let round = 0; round < 8; round += 1) {
            const batch = keys.flatMap((key) => [
              on.newJob({ ordering: { key, onFailure: 'skip' } }),
              on.newJob({ unique: { key, until: 'started' } }),
            ])
            const added = await log.append(shuffled(batch, index * 100 + round))
            const ids = new Set(added.flatMap(({ id, status }) => (status === 'added' ? [id] : [])))
            jobs.push(...batch.filter(({ id }) => ids.has(id)))
            const tickets = shuffled(jobs, index * 100 + round).map((job) => on.ticket(job))
            const verdicts = await log.claim(tickets, 10, worker, randomUUID())
            const claims = verdicts.flatMap((verdict) => (verdict.verdict === 'run' ? [verdict.claim] : []))
            const ended = shuffled(claims, round).map((claim) => settlement(claim, outcomes.succeed()))
            const settled = recorded(await log.settle(ended, worker))
            expect(settled.every(({ result }) => result === 'settled')).toBe(true)
            await log.cancel(
              shuffled(jobs, round)
                .slice(0, 2)
                .map(({ id }) => id),
              { by: 'ada' },
            )
          }
        }),
      )
      // With several dispatchers only the log knows the order.
      const dispatched = await readDispatched(on.log, { queue: on.queue })
      expect(dispatched.toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
      const events = (await Promise.all(dispatched.map((id) => on.events(id)))).flat()
      expect(describeViolations(checkHistory({ events, dispatched }))).toBe('')
    })

    it('jobs of many keys, dispatched and run by many processes with errors and releases, keep their order', async () => {
      const on = await fresh()
      const keys = ['a', 'b', 'c', 'd', 'e']
      const workers = await fleet(on, 4)
      const jobs: NewJob[] = []
      const dispatch = async () => {
        for (let round = 0; round < 12; round += 1) {
          const batch = keys.map((key) =>
            on.newJob({
              ordering: { key, onFailure: round % 3 === 0 ? 'skip' : 'block' },
              ...(round % 4 === 1 ? { due: { delayMs: 3 } } : {}),
              lane: round % 2 === 0 ? 'low' : 'critical',
            }),
          )
          await workers[round % 4]!.log.append(shuffled(batch, round))
          jobs.push(...batch)
        }
      }
      const chooseOutcome = (claim: Claim, count: number) => {
        if (claim.run <= 2 && count % 5 === 0) return outcomes.retry(2)
        if (claim.run <= 2 && count % 7 === 0) return outcomes.release(true)
        if (claim.run <= 2 && count % 11 === 0) return outcomes.snooze(1)
        return count % 13 === 0 ? outcomes.cancel() : outcomes.succeed()
      }
      const done = async (): Promise<boolean> => {
        const queue = (await on.log.queues()).find(({ name }) => name === on.queue)
        return (
          jobs.length === 60 &&
          queue !== undefined &&
          queue.ready + queue.scheduled + queue.blocked + queue.running === 0
        )
      }
      let count = 0
      const work = async ({ log, worker }: (typeof workers)[number]) =>
        on.until(async () => {
          await log.sweep({ limit: 50, republish: false, queues: [], skipQueues: [] })
          const claims = await log.take([on.queue], 3, worker, randomUUID())
          const settled = recorded(
            await log.settle(
              claims.map((claim) => settlement(claim, chooseOutcome(claim, (count += 1)))),
              worker,
            ),
          )
          expect(settled.every(({ result }) => result === 'settled')).toBe(true)
          if (settled.some(({ pending }) => pending)) await log.passNotes(50)
          return claims.length === 0 && (await done())
        }, 'all jobs have run')
      await Promise.all([dispatch(), ...workers.map(work)])
      await check(on, jobs)
    })
  })
}
