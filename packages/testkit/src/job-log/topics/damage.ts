import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { NewJob } from '@errand/core/ports'
import { outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const reason = 'its row in the job log cannot be worked with'

/** Rows that another program or an older version wrote. */
export function describeDamage(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)

  /** Checks that the job has failed, and that every reader sees the reason. */
  async function wasSetAside(on: Scene, job: NewJob): Promise<void> {
    expect(await on.state(job)).toBe('failed')
    expect((await on.record(job)).error?.text).toContain(reason)
    expect((await on.story(job)).at(-1)).toBe('failed')
  }

  describe.runIf(harness.capabilities.damage)('a row that cannot be worked with', () => {
    it('fails alone when its queue is taken: its neighbours are granted', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll([{}, {}, {}, {}, {}])
      await on.damage(jobs[2]!)
      const granted = new Set<string>()
      await on.until(async () => {
        for (const { id } of await on.take(worker)) granted.add(id)
        return granted.size === 4
      })
      expect(granted.has(jobs[2]!.id)).toBe(false)
      await wasSetAside(on, jobs[2]!)
    })

    it('fails alone when its ticket comes', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll([{}, {}, {}])
      await on.damage(jobs[1]!)
      const verdicts = await on.log.claim(
        jobs.map((job) => on.ticket(job)),
        3,
        worker,
        randomUUID(),
      )
      expect(verdicts.map(({ verdict }) => verdict)).toEqual(['run', 'drop', 'run'])
      await wasSetAside(on, jobs[1]!)
    })

    it('fails alone when it becomes due: the sweep goes on with the others', async () => {
      const on = await scene()
      const jobs = await on.addAll([1, 2, 3].map((delayMs) => ({ due: { delayMs } })))
      await on.damage(jobs[1]!)
      await on.pass(5)
      await on.sweepUntil(async () => (await on.state(jobs[2]!)) === 'ready')
      expect(await on.state(jobs[0]!)).toBe('ready')
      await wasSetAside(on, jobs[1]!)
    })

    it('fails alone when its worker is gone: the other runs of that worker are given back', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll([{}, {}, {}])
      await on.take(worker)
      await on.damage(jobs[1]!)
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(jobs[1]!)) === 'failed')
      await on.sweepUntil(async () => (await on.state(jobs[2]!)) === 'ready')
      expect(await on.state(jobs[0]!)).toBe('ready')
      await wasSetAside(on, jobs[1]!)
    })

    it('fails alone when its run has ended: the ends of its neighbours are recorded', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll([{}, {}, {}])
      const claims = await on.take(worker)
      await on.damage(jobs[1]!)
      const answers = await on.log.settle(
        claims.map((claim) => settlement(claim, outcomes.succeed())),
        worker,
      )
      expect(answers.map((answer) => 'state' in answer && answer.state)).toEqual([
        'succeeded',
        'failed',
        'succeeded',
      ])
      await wasSetAside(on, jobs[1]!)
    })

    it('fails alone although its run had no timeout: it does not stay running', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { job, claim } = await on.start({ timeoutMs: null }, worker)
      await on.damage(job)
      await on.log.settle([settlement(claim, outcomes.fail())], worker)
      await wasSetAside(on, job)
      expect((await on.beat(worker)).claims).toEqual([])
    })

    it('costs its worker no beat, and no progress of the other runs', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = await on.addAll([{}, {}])
      const claims = await on.take(worker)
      await on.damage(jobs[0]!)
      const beat = (...numbers: readonly number[]) =>
        on.beat(worker, { progress: numbers.map((at) => ({ ...claims[at]!, value: 0.5 })) })
      // A log may refuse a beat because of its progress. The worker then beats without it.
      await beat(0, 1).catch(async () => {
        await beat(0).catch(() => undefined)
        await beat(1)
      })
      expect((await on.record(jobs[1]!)).progress).toMatchObject({ value: 0.5 })
      expect((await on.beat(worker)).claims.map(({ id }) => id)).toContain(jobs[1]!.id)
    })

    it('keeps no other overdue job from being published again or confirmed', async () => {
      const on = await scene()
      const jobs = await on.addAll([1, 2, 3].map(() => ({ publishGraceMs: 0 })))
      await on.damage(jobs[1]!)
      await on.pass(2)
      const { republished } = await on.sweep({ republish: true })
      const others = [jobs[0]!, jobs[2]!].map((job) => on.ticket(job))
      expect(republished).toEqual(expect.arrayContaining(others))
      await on.log.published(jobs.map((job) => on.ticket(job)))
      expect(await on.states([jobs[0]!, jobs[2]!])).toEqual(['ready', 'ready'])
      await on.log.expedite([on.queue], { limit: 10 })
      expect((await on.sweep({ republish: true })).republished).toEqual(expect.arrayContaining(others))
    })

    it('frees its unique key, and passes its ordering key on where its policy says so', async () => {
      const on = await scene()
      const worker = await on.worker()
      const unique = { key: 'u', until: 'finished' } as const
      const ordering = { key: 'k', onFailure: 'skip' } as const
      const [bad, next] = await on.addAll([{ unique, ordering }, { ordering }])
      await on.damage(bad!)
      await on.until(async () => {
        await on.log.passNotes(100)
        await on.sweep()
        return (await on.take(worker)).some(({ id }) => id === next!.id)
      })
      await wasSetAside(on, bad!)
      await on.add({ unique })
    })

    it('fails alone when its turn comes: its predecessor succeeds, and the next one of the key follows', async () => {
      const on = await scene()
      const worker = await on.worker()
      const ordering = { key: 'turn', onFailure: 'skip' } as const
      const [holder, bad, next] = await on.addAll([{ ordering }, { ordering }, { ordering }])
      const claim = await on.claim(worker, holder!)
      await on.damage(bad!)
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ state: 'succeeded' })
      expect(await on.state(holder!)).toBe('succeeded')
      await on.until(async () => {
        await on.log.passNotes(100)
        await on.sweep()
        return (await on.state(next!)) === 'ready'
      })
      await wasSetAside(on, bad!)
    })

    // A log that cannot roll back may have done a part of the call.
    const undoes = harness.capabilities.transactions !== 'none'
    it.runIf(undoes)(
      'fails alone when an operator cancels or skips the job before it: the key goes on',
      async () => {
        const on = await scene()
        const worker = await on.worker()
        for (const act of ['cancel', 'skip'] as const) {
          const ordering = { key: act, onFailure: 'block' } as const
          const [holder, bad, next] = await on.addAll([{ ordering }, { ordering }, { ordering }])
          if (act === 'skip') await on.settle(worker, await on.claim(worker, holder!), outcomes.fail())
          await on.damage(bad!)
          await on.log[act]([holder!.id], { by: 'ada' })
          await on.until(async () => {
            await on.log.passNotes(100)
            await on.sweep()
            return (await on.state(next!)) === 'ready'
          }, `the next one is ready after ${act}`)
          await wasSetAside(on, bad!)
          expect((await on.story(holder!)).at(-1)).toBe(act === 'skip' ? 'skipped' : 'cancelled')
          expect((await on.log.blockedKeys(100)).map(({ holder: id }) => id)).not.toContain(bad!.id)
        }
      },
    )

    it('keeps its ordering key under block, until an operator skips it', async () => {
      const on = await scene()
      const worker = await on.worker()
      const ordering = { key: 'k', onFailure: 'block' } as const
      const [bad, next] = await on.addAll([{ ordering }, { ordering }])
      await on.damage(bad!)
      await on.until(async () => {
        expect(await on.take(worker)).toEqual([])
        return (await on.state(bad!)) === 'failed'
      })
      expect(await on.state(next!)).toBe('blocked')
      await on.log.skip([bad!.id], { by: 'ada' })
      expect(await on.state(next!)).toBe('ready')
    })

    it('hides none of its neighbours from those who look', async () => {
      const on = await scene()
      const jobs = await on.addAll([{}, {}, {}])
      await on.damage(jobs[1]!)
      const listed = await on.log.list({ queue: on.queue }, { limit: 10 })
      expect(listed.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
      expect((await on.log.unfinished(jobs.map(({ id }) => id))).length).toBeGreaterThanOrEqual(2)
      expect(await on.log.get(jobs[1]!.id)).toMatchObject({ id: jobs[1]!.id })
    })

    it('is said in the log of the worker that met it, once, with its id, its name and the reason', async () => {
      const on = await fresh()
      const worker = await on.worker()
      const lines: object[] = []
      const quiet = (): void => undefined
      const log = await on.another({
        debug: quiet,
        info: quiet,
        warn: quiet,
        error: (facts) => void lines.push(facts),
      })
      const job = await on.add({ payload: { codec: 'json', text: '"of nobody’s concern"' } })
      await on.damage(job)
      await log.take([on.queue], 10, worker, randomUUID())
      await log.take([on.queue], 10, worker, randomUUID())
      expect(lines).toEqual([
        { job: job.id, jobName: job.name, reason: expect.stringMatching(/\w/) as unknown },
      ])
      expect(JSON.stringify(lines)).not.toContain('concern')
    })
  })
}
