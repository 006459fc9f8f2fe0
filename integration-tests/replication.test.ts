import { randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, outcomes, quietLogger, settlement, until, workerRef } from '@errand/testkit'
import { startPrivatePostgres } from './services/private-postgres.ts'
import type { PrivatePostgres } from './services/private-postgres.ts'

const server = await startPrivatePostgres()
const day = 86_400_000

/** The server may be stopped before the last connection has closed. */
function open(url: string): Pool {
  const pool = new Pool({ connectionString: url, max: 2 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** A job log whose tables are copied to another server, by somebody who knows nothing of it. */
describe.skipIf(server === undefined)('a published job log', () => {
  const postgresServer = server as PrivatePostgres
  let main: Pool
  beforeAll(() => {
    main = open(postgresServer.url)
  })
  afterAll(async () => {
    await main?.end()
    await server?.stop()
  })

  /** A database with a job log of its own, whose clock can be put forward. */
  const database = async (name: string) => {
    await main.query(`create database ${name}`)
    const url = new URL(postgresServer.url)
    url.pathname = name
    const pool = open(url.href)
    const log = postgres({ url: url.href, migrate: true }).open({ logger: quietLogger, clock: systemClock })
    await log.connect()
    onTestFinished(async () => {
      await log.close()
      await pool.end()
    })
    await pool.query(`
      create table public.ahead (ms bigint primary key);
      insert into public.ahead values (0);
      create or replace function errand.clock() returns timestamptz language sql volatile
        return clock_timestamp() + (select ms from public.ahead) * interval '1 millisecond'`)
    return {
      url: url.href,
      pool,
      log,
      advance: (ms: number) => pool.query(`update public.ahead set ms = ms + ${ms}`),
    }
  }
  /** Jobs that end in every way, and a day later a partition that is made by a sweep. */
  const live = async (log: JobLog): Promise<void> => {
    const by = workerRef()
    await log.beat(by, { queues: ['q'], taking: true, progress: [] })
    await log.append([
      newJob({ queue: 'q', ordering: { key: 'k', onFailure: 'block' } }),
      newJob({ queue: 'q', unique: { key: 'u', until: 'finished' } }),
      newJob({ queue: 'q' }),
    ])
    const claims = await log.take(['q'], 3, by, randomUUID())
    await log.beat(by, {
      queues: ['q'],
      taking: true,
      progress: [{ ...claims[2]!, value: 0.5, message: 'half' }],
    })
    await log.settle(
      [settlement(claims[0]!, outcomes.fail()), settlement(claims[1]!, outcomes.succeed())],
      by,
    )
    await log.settle([settlement(claims[2]!, outcomes.cancel())], by)
    await log.skip([claims[0]!.id], { by: 'ada' })
    await log.sweep({ limit: 10, republish: true, queues: [], skipQueues: [] })
    await log.leave(by)
  }
  const pruneAll = async (log: JobLog): Promise<number> => {
    let jobs = 0
    for (let more = true; more;) {
      const pruned = await log.prune({ succeededMs: 0, failedMs: 0, limit: 2 })
      jobs += pruned.jobs
      more = pruned.more
    }
    return jobs
  }

  it.each([
    ['all tables', 'for all tables'],
    ['the tables of its schema', 'for tables in schema errand'],
    ['its partitions as one table', 'for tables in schema errand with (publish_via_partition_root)'],
  ])('whose publication is of %s prunes what has ended, and makes its partitions', async (_name, which) => {
    const { pool, log, advance } = await database(`p_${randomUUID().slice(0, 8)}`)
    await pool.query(`create publication everything ${which}`)
    await live(log)
    // Nobody made partitions in time, so these events are in the default one.
    await advance(40 * day)
    await live(log)
    await advance(2 * day)
    await live(log)
    expect(await pruneAll(log)).toBe(9)
    expect((await pool.query('select from errand.jobs')).rowCount).toBe(0)
    expect((await pool.query('select from errand.events_default')).rowCount).toBe(0)
    expect((await log.diagnose()).findings).toEqual([])
    await log.migrate({ restored: true })
  })

  it('is copied as it stands by a subscription: what was pruned goes there, too', async () => {
    const source = await database('source')
    const copy = await database('copy')
    await source.pool.query(
      `create publication everything for tables in schema errand with (publish_via_partition_root)`,
    )
    const { rows } = await copy.pool.query<{ names: string }>(
      `select string_agg(oid::regclass::text, ', ') as names from pg_class
        where relnamespace = 'errand'::regnamespace and relkind in ('r', 'p') and not relispartition`,
    )
    await copy.pool.query(`truncate ${rows[0]!.names}`)
    // Both are on one server. There a subscription that makes its own slot would wait for itself.
    await source.pool.query(`select pg_create_logical_replication_slot('copying', 'pgoutput')`)
    await copy.pool.query(`create subscription copying connection '${source.url}' publication everything
      with (create_slot = false, slot_name = 'copying')`)
    onTestFinished(() => copy.pool.query('drop subscription copying').then(() => undefined))
    const count = async ({ pool }: typeof copy, table: string): Promise<number> =>
      Number((await pool.query<{ n: string }>(`select count(*) as n from errand.${table}`)).rows[0]!.n)
    const same = () =>
      until(async () => {
        for (const table of ['jobs', 'live', 'ended', 'events', 'grants', 'unique_keys', 'progress'])
          if ((await count(source, table)) !== (await count(copy, table))) return false
        return true
      })
    await source.advance(40 * day)
    await live(source.log)
    await same()
    expect(await count(copy, 'jobs')).toBe(3)
    await source.advance(2 * day)
    expect(await pruneAll(source.log)).toBe(3)
    await live(source.log)
    await same()
    expect(await count(copy, 'jobs')).toBe(3)
  })

  it('has a finding for each table of which nothing could be deleted', async () => {
    const { pool, log } = await database('unidentified')
    await pool.query(`alter table errand.events_default replica identity nothing`)
    await pool.query(`alter table errand.key_notes drop constraint key_notes_pkey`)
    expect((await log.diagnose()).findings).toEqual([])
    await pool.query(`create publication inserts for all tables with (publish = 'insert')`)
    expect((await log.diagnose()).findings).toEqual([])
    await pool.query(`create publication everything for all tables`)
    const { findings } = await log.diagnose()
    expect(findings).toMatchObject([
      {
        severity: 'error',
        code: 'replica-identity',
        message: expect.stringContaining('errand.events_default is published by everything') as string,
      },
      {
        severity: 'error',
        code: 'replica-identity',
        message: expect.stringContaining('errand.key_notes') as string,
      },
    ])
    await expect(log.prune({ succeededMs: 0, failedMs: 0, limit: 10 })).rejects.toThrow(/replica identity/)
    for (const { message } of findings) await pool.query(/run: (.*)$/.exec(message)![1]!)
    expect((await log.diagnose()).findings).toEqual([])
    await log.prune({ succeededMs: 0, failedMs: 0, limit: 10 })
  })
})
