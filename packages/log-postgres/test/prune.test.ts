import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { beforeAll, expect, it } from 'vitest'
import { newJob, outcomes, quietLogger, settlement, until, workerRef } from '@errand/testkit'
import { eventCode } from '../src/codes.ts'
import { countReads } from './reads.ts'
import { describeOnPostgres } from './stage.ts'

const day = 86_400_000
/** What has ended is old enough at once: the last day, hour and minute are all to be pruned. */
const now = { succeededMs: 0, failedMs: 0 }

describeOnPostgres('pruning what has ended a moment ago', ({ stage, log }) => {
  const by = workerRef({ leaseMs: 600_000 })
  const beat = () => log.beat(by, { queues: ['q'], taking: true, progress: [] })
  beforeAll(async () => void (await beat()))

  const start = async (count: number): Promise<readonly string[]> => {
    await log.append(Array.from({ length: count }, () => newJob({ queue: 'q' })))
    return (await log.take(['q'], count, by, randomUUID())).map(({ id }) => id)
  }
  const finish = async (count: number): Promise<void> => {
    const ids = await start(count)
    await log.settle(
      ids.map((id) => settlement({ id, run: 1 }, outcomes.succeed())),
      by,
    )
  }
  const pruneAll = async (limit: number, on = log): Promise<number> => {
    let jobs = 0
    for (let more = true; more;) {
      const pruned = await on.prune({ ...now, limit })
      expect(pruned.jobs).toBeLessThanOrEqual(limit)
      jobs += pruned.jobs
      more = pruned.more
    }
    return jobs
  }
  /** A transaction of somebody else, which stays open until the caller ends it. */
  const open = async (): Promise<Client> => {
    const client = await stage.client()
    await client.query('begin')
    return client
  }

  it('reads no more in the last batch than in the first, beside jobs that end and a transaction that stays', async () => {
    const batch = 200
    for (let round = 0; round < 8; round++) await finish(500)
    const pruner = await stage.client()
    const writer = await open()
    await log.append([newJob()], { tx: writer })
    const read: number[] = []
    for (let round = 0; round < 15; round++) {
      const tables = await countReads(pruner, stage.schema, () =>
        pruner.query(
          `select * from ${stage.schema}.prune_v1('{${eventCode.succeeded}}', clock_timestamp(), ${batch})`,
        ),
      )
      read.push(Object.values(tables).reduce((sum, { whole, rows }) => sum + whole + rows, 0))
      await finish(20)
    }
    await writer.query('rollback')
    const [first] = read
    expect(Math.max(...read)).toBeLessThanOrEqual(first! * 1.2)
    expect(first).toBeLessThanOrEqual(10 * batch)
    await pruneAll(batch)
  })

  it('finds the ends of a transaction that was open while it went by, a batch at a time', async () => {
    const waiting = Array.from({ length: 25 }, () => newJob({ queue: 'waiting' }))
    await log.append(waiting)
    const operator = await open()
    await operator.query(`select * from ${stage.schema}.cancel_v1($1, '', '10s')`, [
      waiting.map(({ id }) => id),
    ])
    await finish(3)
    expect(await pruneAll(10)).toBe(3)
    await operator.query('commit')
    // Not even the day after.
    await finish(3)
    expect(await pruneAll(10)).toBe(28)
    expect(await log.get(waiting[0]!.id)).toBeUndefined()
  })

  it('begins again from the front where the clock has gone back', async () => {
    await finish(3)
    expect(await pruneAll(10)).toBe(3)
    await stage.advance(-day)
    await beat()
    await finish(3)
    expect(await pruneAll(10)).toBe(3)
  })

  it('finds what ended while the clock was back, although it has gone ahead again since', async () => {
    const sweep = async () => {
      const swept = () => log.sweep({ limit: 10, republish: false, queues: ['q'], skipQueues: [] })
      await until(async () => (await swept()).ran)
    }
    const move = async (days: number) => {
      await stage.advance(days * day)
      await sweep()
      await beat()
    }
    await sweep()
    await finish(3)
    expect(await pruneAll(10)).toBe(3)
    await move(-2)
    await finish(4)
    await move(2)
    await finish(2)
    expect(await pruneAll(10)).toBe(6)
    await finish(1)
    expect(await pruneAll(10)).toBe(1)
  })

  it.each(['', ' deferrable initially deferred'])(
    'keeps a job that a row of somebody else points to, and only that one; foreign key%s',
    async (deferrable) => {
      const warnings: { jobs: string[]; constraint: string }[] = []
      const own = stage.open({}, { ...quietLogger, warn: (fields) => void warnings.push(fields as never) })
      const left = async (ids: readonly string[]) =>
        (await Promise.all(ids.map((id) => log.get(id)))).flatMap((job) => job?.id ?? [])
      const [held, neighbours] = [await start(2), await start(8)]
      const ids = [held[0]!, ...neighbours, held[1]!]
      await log.settle(
        ids.map((id) => settlement({ id, run: 1 }, outcomes.succeed())),
        by,
      )
      await stage.sql(`
        create table errand.orders (
          job bigint constraint order_job references errand.jobs (seq)${deferrable})`)
      await stage.sql('insert into errand.orders select seq from errand.jobs where id = any ($1)', [held])
      expect(await pruneAll(4, own)).toBe(8)
      expect(await left(ids)).toEqual(held)
      const constraint = `order_job on ${stage.schema}.orders`
      expect(new Set(warnings.map((warning) => warning.constraint))).toEqual(new Set([constraint]))
      expect(warnings.splice(0).flatMap(({ jobs }) => jobs)).toEqual(expect.arrayContaining([...held]))
      // They are not looked at again before tomorrow, and whoever has ended since goes.
      await finish(3)
      expect(await pruneAll(4, own)).toBe(3)
      expect(warnings).toEqual([])
      const advance = async () => {
        await stage.advance(day)
        await beat()
      }
      await advance()
      expect(await pruneAll(4, own)).toBe(0)
      expect(warnings.splice(0)).toEqual([{ jobs: held, count: 2, constraint }])
      await stage.sql('drop table errand.orders')
      await advance()
      expect(await pruneAll(4, own)).toBe(2)
      expect(await left(ids)).toEqual([])
      expect(warnings).toEqual([])
      expect(await stage.sql('select from errand.unpruned')).toEqual([])
    },
  )

  it('keeps a job whose replay is under way', async () => {
    const [id] = await start(1)
    await log.settle([settlement({ id: id!, run: 1 }, outcomes.succeed())], by)
    const operator = await open()
    await operator.query(`select * from ${stage.schema}.replay_v1($1, '{}', false, '10s')`, [[id]])
    // Waiting for a row has a deadline, which a slow machine may reach before the replay ends.
    const pruning = until(() =>
      pruneAll(10).then(
        (jobs) => ({ jobs }),
        () => undefined,
      ),
    )
    await until(async () => {
      const [waiting] = await stage.sql(
        `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%"${stage.schema}".prune_v1(%'`,
      )
      return waiting
    })
    await operator.query('commit')
    expect(await pruning).toEqual({ jobs: 0 })
    expect(await log.get(id!)).toMatchObject({ state: 'ready' })
  })
})
