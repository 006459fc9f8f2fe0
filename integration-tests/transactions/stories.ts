import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { Claim, Transaction, WorkerRef } from '@errand/core/ports'
import { newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { openApplication } from './library.ts'
import type { Application, Library } from './library.ts'

const url = inject('postgres')

/** The promises of `tx`, with a real library: the application's writes and its jobs commit together or not at all. */
export function describeTransactions(
  name: string,
  open: (url: string, notes: string) => Promise<Library>,
): void {
  describe.skipIf(url === undefined)(`a transaction of ${name}`, () => {
    let app: Application
    let library: Library
    beforeAll(async () => {
      app = await openApplication(url!)
      library = await open(url!, app.notes)
    })
    afterAll(async () => {
      await library?.close()
      await app?.close()
    })

    const rollback = new Error('the application changed its mind')
    const rolledBack = (work: (tx: Transaction) => Promise<void>): Promise<void> =>
      library
        .transaction(async (tx) => {
          await work(tx)
          throw rollback
        })
        .catch((error: unknown) => {
          if (error !== rollback) throw error
        })

    const running = async (): Promise<{ claim: Claim; worker: WorkerRef }> => {
      const worker = workerRef()
      const queue = `queue-${randomUUID().slice(0, 8)}`
      await app.log.beat(worker, { queues: [queue], taking: true, progress: [] })
      await app.log.append([newJob({ queue })])
      const [claim] = await app.log.take([queue], 1, worker, randomUUID())
      return { claim: claim!, worker }
    }

    it('that commits stores its job, and not before', async () => {
      const job = newJob({ payload: { codec: 'json', text: '{"quote":"\\" \\\\ {é,}","n":1}' } })
      await library.transaction(async (tx) => {
        await library.write(tx, 'committed')
        expect(await app.log.append([job], { tx })).toMatchObject([
          { id: job.id, status: 'added', state: 'ready' },
        ])
        expect(await app.log.get(job.id)).toBeUndefined()
      })
      expect(await app.written()).toContain('committed')
      expect(await app.log.get(job.id)).toMatchObject({ state: 'ready', payload: job.payload })
    })

    it('that rolls back leaves neither its writes nor its job', async () => {
      const job = newJob()
      await rolledBack(async (tx) => {
        await library.write(tx, 'rolled back')
        await app.log.append([job], { tx })
      })
      expect(await app.written()).not.toContain('rolled back')
      expect(await app.log.get(job.id)).toBeUndefined()
    })

    it('stores many jobs, with keys, delays and tags, in their order', async () => {
      const key = randomUUID()
      const jobs = [
        newJob({ ordering: { key, onFailure: 'block' }, tags: ['a', 'b "c"'] }),
        newJob({ ordering: { key, onFailure: 'block' } }),
        newJob({ due: { delayMs: 60_000 } }),
        newJob({ unique: { key, until: 'finished' } }),
        newJob({ unique: { key, until: 'finished' } }),
      ]
      await library.transaction(async (tx) => {
        const appended = await app.log.append(jobs, { tx })
        expect(appended.map((one) => (one.status === 'added' ? one.state : one.id))).toEqual([
          'ready',
          'blocked',
          'scheduled',
          'ready',
          jobs[3]?.id,
        ])
      })
      expect(await app.log.get(jobs[0]!.id)).toMatchObject({ tags: ['a', 'b "c"'] })
    })

    it('that commits sets its schedule, and not before', async () => {
      const name = `schedule-${randomUUID()}`
      const body = '{"quote":"\\" \\\\ {é,}","n":1}'
      const to = { dueAt: 1_900_000_000_123, job: 'a', isDeclared: false, declaredBy: undefined, body }
      const read = async (tx?: Transaction) => (await app.log.readSchedules([name], tx)).schedules
      await rolledBack(async (tx) => {
        await app.log.saveSchedules([{ name, after: 0, to }], tx)
        expect(await read(tx)).toMatchObject([to])
      })
      await library.transaction(async (tx) => {
        expect(await read(tx)).toEqual([])
        expect(await app.log.saveSchedules([{ name, after: 0, to }], tx)).toEqual([{ saved: true }])
        expect(await read()).toEqual([])
      })
      expect(await read()).toMatchObject([to])
    })

    it('that commits completes the job of its handler, together with its writes', async () => {
      const { claim, worker } = await running()
      const result = { codec: 'json', text: '{"sent":true}' }
      await library.transaction(async (tx) => {
        await library.write(tx, 'completed')
        await app.log.complete(claim, result, worker, tx)
        expect((await app.log.get(claim.id))?.state).toBe('running')
      })
      expect(await app.log.get(claim.id)).toMatchObject({ state: 'succeeded', result })
      const [settled] = await app.log.settle([settlement(claim, outcomes.completed())], worker)
      expect(settled).toMatchObject({ result: 'settled', event: 'succeeded' })
    })

    it('that rolls back completes nothing: the run is errored, never a success', async () => {
      const { claim, worker } = await running()
      await rolledBack((tx) => app.log.complete(claim, undefined, worker, tx))
      const [settled] = await app.log.settle([settlement(claim, outcomes.completed(0))], worker)
      expect(settled).toMatchObject({ result: 'settled', event: 'errored', state: 'scheduled' })
    })

    it('cannot commit when its run has lost the claim, even where the handler swallows the error', async () => {
      const { claim, worker } = await running()
      const stranger = { ...worker, id: randomUUID() }
      let code: unknown
      await library
        .transaction(async (tx) => {
          await library.write(tx, 'by a stranger')
          await app.log.complete(claim, undefined, stranger, tx).catch((error: { code?: unknown }) => {
            code = error.code
          })
        })
        .catch(() => {})
      expect(code).toBe('E_CLAIM_LOST')
      expect(await app.written()).not.toContain('by a stranger')
      expect((await app.log.get(claim.id))?.state).toBe('running')
    })

    it('is waited for by the settlement when it is still open at the handler’s end', async () => {
      const { claim, worker } = await running()
      let settling: Promise<unknown> | undefined
      await library.transaction(async (tx) => {
        await app.log.complete(claim, undefined, worker, tx)
        settling = app.log.settle([settlement(claim, outcomes.completed(0))], worker)
        // It has asked at least once while the row is locked: a beat by the same pool is answered after it.
        await until(async () => (await app.log.workers()).length > 0)
      })
      expect(await settling).toMatchObject([{ result: 'settled', event: 'succeeded' }])
    })

    it('is told apart from what is none', async () => {
      const job = newJob()
      for (const [what, value] of Object.entries(library.notTransactions)) {
        const tx = value as Transaction
        await expect(app.log.append([job], { tx }), what).rejects.toMatchObject({ code: 'E_TRANSACTION' })
      }
      expect(await app.log.get(job.id)).toBeUndefined()
    })
  })
}
