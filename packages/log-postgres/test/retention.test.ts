import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobLog } from '@errand/core/ports'
import { newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { openMigrated, url } from './stage.ts'
import type { Stage } from './stage.ts'

const day = 86_400_000

describe.skipIf(url === undefined)('events by the day', () => {
  let stage: Stage
  let log: JobLog
  beforeEach(async () => {
    ;({ stage, log } = await openMigrated())
  })
  afterEach(() => stage.close())

  const partitions = async (): Promise<string[]> =>
    (
      await stage.sql(
        `select relname from pg_class c join pg_inherits i on i.inhrelid = c.oid
          where inhparent = 'errand.events'::regclass and relname <> 'events_default' order by relname`,
      )
    ).map(({ relname }) => String(relname))
  const finish = async (queue: string): Promise<string> => {
    const by = workerRef()
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    const job = newJob({ queue })
    await log.append([job])
    const [claim] = await log.take([queue], 1, by, randomUUID())
    await log.settle([settlement(claim!, outcomes.succeed())], by)
    await log.leave(by)
    return job.id
  }

  /** Reading lags behind the oldest transaction of the whole server, other tests' too. */
  const readable = (count: number, after?: string): ReturnType<JobLog['read']> =>
    until(async () => {
      const page = await log.read({ after, limit: 10 })
      return page.events.length >= count && page
    })

  it('have a partition of their own, made two weeks ahead by each sweep', async () => {
    const before = await partitions()
    expect(before).toHaveLength(15)
    await finish('q')
    expect(await stage.sql(`select count(*)::int as n from errand.${before[0]}`)).toEqual([{ n: 3 }])
    await stage.advance(10 * day)
    await log.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
    expect(await partitions()).toHaveLength(25)
  })

  it('are written to the default partition when nobody made theirs, and read from there', async () => {
    await stage.advance(40 * day)
    const id = await finish('q')
    expect(await stage.sql('select count(*)::int as n from errand.events_default')).toEqual([{ n: 3 }])
    expect((await log.readHistory(id)).map(({ type }) => type)).toEqual([
      'dispatched',
      'started',
      'succeeded',
    ])
    expect((await log.diagnose()).findings.map(({ code }) => code)).toContain('default-partition')
  })

  it('are written again where a partition for their day was made at that moment', async () => {
    const [today] = await partitions()
    await stage.sql(`drop table errand.${today}`)
    const maker = await stage.client()
    await maker.query('begin')
    await maker.query(`select ${stage.schema}.ensure_partitions_v1(14)`)
    const job = newJob()
    const appending = log.append([job])
    await until(async () => {
      const [waiting] = await stage.sql(
        `select from pg_locks where relation = 'errand.events_default'::regclass and not granted`,
      )
      return waiting
    })
    await maker.query('commit')
    expect(await appending).toMatchObject([{ id: job.id, status: 'added' }])
    expect(await stage.sql(`select count(*)::int as n from errand.${today}`)).toEqual([{ n: 1 }])
  })

  it('of a day that lies in the default partition stay there, and the days after it have their own', async () => {
    await stage.advance(40 * day)
    await finish('q')
    await log.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
    expect(await stage.sql('select count(*)::int as n from errand.events_default')).toEqual([{ n: 3 }])
    expect(await partitions()).toHaveLength(15 + 14)
    await stage.advance(day)
    await finish('q')
    expect(await stage.sql('select count(*)::int as n from errand.events_default')).toEqual([{ n: 3 }])
  })

  it('leave by whole days, when the jobs that need them have gone, and cursors before them are errors', async () => {
    const start = await log.end()
    const old = await finish('q')
    await stage.advance(5 * day)
    const young = await finish('q')
    const keep = { succeededMs: 3 * day, failedMs: 3 * day, limit: 100 }
    expect(await log.prune(keep)).toEqual({ jobs: 1, more: false })
    expect(await log.get(old)).toBeUndefined()
    expect(await log.get(young)).toMatchObject({ state: 'succeeded' })
    expect(await partitions()).not.toContain((await partitions()).find((name) => name.endsWith('00000000')))
    expect(await log.readHistory(old)).toEqual([])
    await expect(log.read({ after: start, limit: 10 })).rejects.toMatchObject({ code: 'E_CURSOR' })
    const { events } = await readable(3)
    expect(new Set(events.map(({ jobId }) => jobId))).toEqual(new Set([young]))
  })

  it('of a day leave before a job that lives on: it keeps what it needs to run, to be seen and to end', async () => {
    const by = workerRef({ leaseMs: 30 * day })
    await log.beat(by, { queues: ['q'], taking: true, progress: [] })
    const job = newJob({ queue: 'q', tags: ['old'], ordering: { key: 'k', onFailure: 'block' } })
    await log.append([job, newJob({ queue: 'q', ordering: { key: 'k', onFailure: 'block' } })])
    const [first] = await log.take(['q'], 1, by, randomUUID())
    await log.settle([settlement(first!, outcomes.retry(0))], by)
    await stage.advance(5 * day)
    await log.prune({ succeededMs: 3 * day, failedMs: 3 * day, limit: 100 })
    expect(await log.readHistory(job.id)).toEqual([])

    await log.beat(by, { queues: ['q'], taking: true, progress: [] })
    await log.sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
    expect(await log.get(job.id)).toMatchObject({ state: 'ready', run: 1, attempt: 1, payload: job.payload })
    const claims = await log.take(['q'], 2, by, randomUUID())
    expect(claims).toMatchObject([
      { id: job.id, run: 2, attempt: 2, job: { payload: job.payload, tags: ['old'] } },
    ])
    await log.settle([settlement(claims[0]!, outcomes.succeed())], by)
    expect(await log.get(job.id)).toMatchObject({ state: 'succeeded', run: 2, attempt: 2 })
    // Versions go on where those stopped that have left.
    const versions = (await log.readHistory(job.id)).map(({ version }) => version)
    expect(versions).toEqual([4, 5, 6])
    expect(await log.take(['q'], 2, by, randomUUID())).toHaveLength(1)
  })

  it.each([
    ['and said so', { restored: true }],
    ['and said nothing', undefined],
  ])(
    'of another cluster, whose transactions lie in the future: doctor finds them, migrate %s mends it',
    async (_, given) => {
      const id = await finish('q')
      const cursor = await log.end()
      await stage.sql(`update errand.events set tx = '99999999999'`)
      expect((await log.read({ limit: 10 })).events).toEqual([])
      const findings = async () => (await log.diagnose()).findings.map(({ code }) => code)
      expect(await findings()).toContain('restored')
      await log.migrate(given)
      expect(await findings()).not.toContain('restored')
      const { events, next } = await readable(3)
      expect(events.map(({ jobId, type }) => [jobId, type])).toEqual([
        [id, 'dispatched'],
        [id, 'started'],
        [id, 'succeeded'],
      ])
      await expect(log.read({ after: cursor, limit: 10 })).rejects.toMatchObject({ code: 'E_CURSOR' })
      const later = await finish('q')
      const more = await readable(3, next)
      expect(more.events.map(({ jobId }) => jobId)).toEqual([later, later, later])
    },
  )
})
