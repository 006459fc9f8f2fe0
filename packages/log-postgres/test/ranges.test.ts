import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newJob, outcomes, settlement, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'

/** A list of succeeded jobs finds only those whose range has a row. */
describeOnPostgres('the ranges in which jobs have succeeded', ({ stage, log }) => {
  const by = workerRef({ leaseMs: 600_000 })
  beforeAll(async () => {
    await log.beat(by, { queues: ['q', 'other'], taking: true, progress: [] })
  })

  const begin = async (): Promise<Client> => {
    const client = await stage.client()
    await client.query('begin')
    return client
  }
  const take = async (count: number, queue: string) => {
    const claims = await log.take([queue], count, by, randomUUID())
    expect(claims).toHaveLength(count)
    return claims
  }
  const start = async (count: number) => {
    await log.append(Array.from({ length: count }, () => newJob({ queue: 'q' })))
    return take(count, 'q')
  }
  const succeed = (claims: Awaited<ReturnType<typeof start>>) =>
    log.settle(
      claims.map(({ id, run }) => settlement({ id, run }, outcomes.succeed())),
      by,
    )
  const pruneText = (ago = ''): string =>
    `select * from ${stage.schema}.prune_v1('{6}', clock_timestamp() ${ago}, 10000)`
  const prune = () => stage.sql(pruneText())
  const listed = async () => (await log.list({ state: 'succeeded' }, { limit: 10 })).map(({ id }) => id)

  describe('have a row as soon as a job has succeeded', () => {
    beforeEach(() => stage.sql('delete from errand.succeeded_ranges'))

    it.each([1, 2])('%i in a settlement', async (count) => {
      const claims = await start(count)
      await succeed(claims)
      expect(await listed()).toEqual(expect.arrayContaining(claims.map(({ id }) => id)))
    })

    it('in a transaction of the handler', async () => {
      const [claim] = await start(1)
      const tx = await begin()
      await log.complete(claim!, undefined, by, tx)
      await tx.query('commit')
      expect(await listed()).toContain(claim!.id)
    })
  })

  describe('lose it with their last job, and a success that comes later is listed', () => {
    /** What was dispatched by a transaction that nobody has seen yet, in a range whose other jobs have all succeeded. */
    let job: ReturnType<typeof newJob>
    let dispatch: Client

    beforeEach(async () => {
      await prune()
      await succeed(await start(1))
      job = newJob({ queue: 'other' })
      dispatch = await begin()
      await log.append([job], { tx: dispatch })
    })
    const succeedNow = async () => succeed(await take(1, 'other'))

    it('if it was dispatched before the row was marked', async () => {
      await prune()
      await dispatch.query('commit')
      await prune()
      await succeedNow()
      expect(await listed()).toEqual([job.id])
    })

    it('if it ended while the row was being marked', async () => {
      const pruning = await begin()
      await pruning.query(pruneText())
      await dispatch.query('commit')
      await succeedNow()
      await pruning.query('commit')
      // It deletes the marked rows, and finds no job that is as old.
      await stage.sql(pruneText(`- interval '1 hour'`))
      expect(await listed()).toEqual([job.id])
    })

    it('if it ended while the row was being deleted', async () => {
      await prune()
      const pruning = await begin()
      await pruning.query(pruneText())
      await dispatch.query('commit')
      await succeedNow()
      await pruning.query('commit')
      expect(await listed()).toEqual([job.id])
    })

    it('and no row is kept without a job', async () => {
      await dispatch.query('commit')
      await succeedNow()
      await succeed(await start(300))
      await prune()
      expect(await stage.sql('select start from errand.succeeded_ranges where not leaving')).toEqual([])
      await prune()
      expect(await stage.sql('select start from errand.succeeded_ranges')).toEqual([])
    })
  })
})
