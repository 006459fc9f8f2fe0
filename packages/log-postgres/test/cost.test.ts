import { randomUUID } from 'node:crypto'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { laneRank } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { newJob, quietLogger, workerRef } from '@errand/testkit'
import { Claims } from '../src/claims.ts'
import type { Database, Row } from '../src/database.ts'
import { TakeMarks } from '../src/take-marks.ts'
import { storedColumns } from '../src/rows.ts'
import { countReads } from './reads.ts'
import type { Reads } from './reads.ts'
import { openMigrated, url } from './stage.ts'
import type { Opened, Stage } from './stage.ts'

interface EmptyLog extends Opened {
  /** A connection of its own, beside the one of the log. */
  readonly client: Client
}

async function openEmptyLog(): Promise<EmptyLog> {
  const opened = await openMigrated({ poolSize: 1 })
  return { ...opened, client: await opened.stage.client() }
}

/** What statements read, in rows: the same on every machine, unlike time. */
describe.skipIf(url === undefined)('the rows that a batch of 100 reads', () => {
  const backlog = 3_000
  const batch = 100
  const by = workerRef({ leaseMs: 600_000 })
  let stage: Stage
  let log: JobLog
  let client: Client
  beforeAll(async () => {
    ;({ stage, log, client } = await openEmptyLog())
    // The worst statistics: the tables are empty. Plans are made now, and kept.
    await stage.sql('vacuum (analyze) errand.live, errand.jobs, errand.keys, errand.progress, errand.workers')
    await log.beat(by, { queues: ['deep', 'keyed'], taking: true, progress: [] })
    for (let round = 0; round < 8; round++) await cycle(round % 2 === 0 ? null : everything)
    await overdue()
    const jobs = Array.from({ length: backlog }, () => newJob({ queue: 'deep' }))
    const blocked = Array.from({ length: backlog }, () =>
      newJob({ queue: 'deep', ordering: { key: 'one', onFailure: 'block' } }),
    )
    await log.append([...jobs, ...blocked])
  })
  afterAll(() => stage?.close())

  const reads = (work: () => Promise<void>): Promise<Reads> => countReads(client, stage.schema, work)

  /** Where a take begins that does not begin at the front: at the first job of every lane. */
  const everything = [0, 0, 0, 0]

  /** Takes a batch and settles it. */
  async function cycle(from: readonly number[] | null = null): Promise<void> {
    const { rows } = await client.query<{ id: string | null; run: number }>(
      `select id, run from ${stage.schema}.take_v1('{deep}', $1, $2, $3, 1000, '{}', 1, false, $4)`,
      [batch, by.id, randomUUID(), from],
    )
    const taken = rows.filter(({ id }) => id !== null)
    if (taken.length === 0) return
    const list = (cells: readonly (string | number | null)[]): string => `{${cells.join(',')}}`
    await client.query(
      `select ${stage.schema}.settle_v1($1, $2, $3, null, null, null, null, null, $4, null)`,
      [list(taken.map(({ id }) => id)), list(taken.map(({ run }) => run)), list(taken.map(() => 1)), by.id],
    )
  }

  /** Both callers that look for jobs that no ticket has fetched: workers and relays. */
  async function overdue(): Promise<void> {
    await client.query(
      `select * from ${stage.schema}.take_v1('{deep}', $1, $2, $3, 1000, '{}', 0, true, null)`,
      [batch, by.id, randomUUID()],
    )
    await client.query(`select * from ${stage.schema}.sweep_unpublished_v1($1, clock_timestamp(), '{}')`, [
      batch,
    ])
  }

  it('is a few per job, whatever waits in the queue, and no table is read whole', async () => {
    const read = await reads(cycle)
    expect(read['live']!.rows).toBeLessThanOrEqual(8 * batch)
    expect(read['jobs']!.rows).toBeLessThanOrEqual(2 * batch)
    for (const table of ['live', 'jobs', 'keys', 'workers', 'progress'])
      expect(read[table]?.whole ?? 0, table).toBe(0)
  })

  it('no function of the log is called for each column of a row that is read', async () => {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain (verbose, costs off) select ${storedColumns(stage.schema, 'j', 'l')}, ${stage.schema}.ms(l.run_at)
         from ${stage.schema}.jobs j join ${stage.schema}.live l on l.id = j.id`,
    )
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toContain('date_part')
    expect(plan).not.toMatch(/\bms\(/)
  })

  it('is no more where a take begins behind the front', async () => {
    const read = await reads(() => cycle(everything))
    expect(read['live']!.rows).toBeLessThanOrEqual(8 * batch)
    expect(read['live']!.whole).toBe(0)
  })

  it('is a few of each lane where jobs wait, and none of them for too long', async () => {
    // An automatic vacuum may come at any time. It counts the rows and makes no statistics, and all plans are made again.
    for (const before of ['select', 'vacuum errand.live', 'vacuum (analyze) errand.live']) {
      await stage.sql(before)
      const read = await reads(overdue)
      // Two callers look at the first twenty, and at the twentieth before that.
      expect(read['live']?.rows ?? 0, before).toBeLessThanOrEqual(100)
      expect(read['live']?.whole ?? 0, before).toBe(0)
    }
  })

  it('is one row for one job, in the same depth', async () => {
    const job = newJob({ queue: 'deep', lane: 'critical' })
    await log.append([job])
    const read = await reads(async () => {
      await client.query(`select * from ${stage.schema}.claim_v1($1, 1, $2, $3, 1000, '{}')`, [
        [job.id],
        by.id,
        randomUUID(),
      ])
    })
    expect(read['live']!.rows).toBeLessThanOrEqual(6)
    expect(read['live']!.whole).toBe(0)
  })

  it('may begin behind the front: what was dead there costs nothing', async () => {
    // Of three, one from the lowest lane: that look begins there as well.
    const takeFrom = async (sequence: number): Promise<number[]> => {
      const { rows } = await client.query<{ seq: string; id: string | null }>(
        `select seq, id from ${stage.schema}.take_v1('{deep}', 3, $1, $2, 1000, '{}', 1, false, $3)`,
        [by.id, randomUUID(), [sequence, sequence, sequence, sequence]],
      )
      return rows.filter(({ id }) => id !== null).map(({ seq }) => Number(seq))
    }
    const [mark] = await stage.sql(
      `select seq::int from errand.live where state = 3 and lane = ${laneRank.normal} order by seq desc offset 10 limit 1`,
    )
    const from = Number(mark?.['seq'])
    const taken = await takeFrom(from)
    expect(taken).toHaveLength(3)
    expect(Math.min(...taken)).toBe(from)
    expect(await takeFrom(1_000_000)).toEqual([])
  })
})

describe.skipIf(url === undefined)(
  'the rows that are read of a long queue that waits for its tickets',
  () => {
    const long = 30_000
    let stage: Stage
    let client: Client
    beforeAll(async () => {
      ;({ stage, client } = await openEmptyLog())
      const waiting = (from: number, publishes: number): Promise<unknown> =>
        stage.sql(`
        insert into errand.live (id, seq, publish_after, publishes, lane, state, last, unique_mode,
                                 fails_on_crash, skips_on_failure, queue, name)
        select gen_random_uuid(), ${from} + n, errand.clock() + interval '1 hour', ${publishes}, 300, 3, 1, 0, false,
               false, 'long', 'a'
          from generate_series(1, ${long}) n`)
      // The first ones were published again.
      await waiting(0, 3)
      await waiting(1_000_000, 0)
    })
    afterAll(() => stage?.close())

    const readBy = async (text: string): Promise<number> => {
      const read = await countReads(client, stage.schema, () => client.query(text))
      expect(read['live']?.whole ?? 0).toBe(0)
      return read['live']?.rows ?? 0
    }
    const sweep = `select * from $.sweep_unpublished_v1(500, clock_timestamp(), '{}')`
    const on = (text: string): string => text.replaceAll('$', stage.schema)

    it('are 5,000 where the first jobs were published again, and twenty where they were not', async () => {
      expect(await readBy(on(sweep))).toBeLessThanOrEqual(5_100)
      await stage.sql('update errand.live set publishes = 0 where seq <= 100')
      expect(await readBy(on(sweep))).toBeLessThanOrEqual(60)
    })

    it('are 10,000 where a grace starts over, and each of those is given at most once', async () => {
      const expedite = on(`select $.expedite_v1('{long}', 500, 30000)`)
      expect(await readBy(expedite)).toBeLessThanOrEqual(10_000 + 4 * 1_500)
      expect(
        await stage.sql('select count(*)::int as jobs from errand.live where publish_after <= now()'),
      ).toEqual([{ jobs: 500 }])
    })

    it('are few where a job at the front is overdue, and it is found', async () => {
      await stage.sql(
        `update errand.live set publish_after = errand.clock() + interval '1 hour', publishes = 0`,
      )
      await stage.sql('update errand.live set publish_after = errand.clock() where seq = 7')
      const found = await client.query(on(sweep))
      expect(found.rows).toHaveLength(1)
    })
  },
)

it.skipIf(url === undefined)(
  'a take whose plan was made after a short queue finds the head of a long one, and reads no more',
  async () => {
    const { stage, log, client } = await openEmptyLog()
    onTestFinished(() => stage.close())
    const by = workerRef({ leaseMs: 600_000 })
    await log.beat(by, { queues: ['deep'], taking: true, progress: [] })
    const append = (count: number) =>
      log.append(Array.from({ length: count }, () => newJob({ queue: 'deep' })))
    // What is left of the queue looks so small that to sort all of it seems cheaper than to read it in order.
    await append(500)
    await stage.sql('delete from errand.live')
    const take = () =>
      client.query(
        `select id from ${stage.schema}.take_v1('{deep}', 100, $1, $2, 1000, '{}', 1, false, '{0,0,0,0}')`,
        [by.id, randomUUID()],
      )
    await take()
    for (let round = 0; round < 6; round++) await append(500)

    const read = await countReads(client, stage.schema, take)
    expect(read['live']!.rows).toBeLessThanOrEqual(300)
  },
)

describe('where a take begins', () => {
  const seen = [
    { queue: 'q', lane: 'normal', sequence: 70 },
    { queue: 'q', lane: 'normal', sequence: 60 },
  ] as const

  it('is the front, as long as that is quick', () => {
    const marks = new TakeMarks()
    marks.note(['q'], true, 150, seen, 0)
    expect(marks.from(['q'], 1)).toBeNull()
  })

  it('is the first job of the last take after a slow search, and the front again after a while', () => {
    const marks = new TakeMarks()
    marks.note(['q'], true, 50_000, seen, 0)
    expect(marks.from(['other', 'q'], 1)).toEqual([0, 0, 0, 0, 0, 0, 60, 0])
    marks.note(['q'], false, 100, [{ queue: 'q', lane: 'normal', sequence: 90 }], 2)
    expect(marks.from(['q'], 3)).toEqual([0, 0, 90, 0])
    expect(marks.from(['q'], 1_001)).toBeNull()
    marks.note(['q'], true, 150, [], 1_001)
    expect(marks.from(['q'], 1_002)).toBeNull()
  })

  it('is the front once more where nothing was found behind the marks, unless that took very long', () => {
    const marks = new TakeMarks()
    expect(marks.areCheap(['q'])).toBe(true)
    marks.note(['q'], true, 2_000, seen, 0)
    expect(marks.areCheap(['q'])).toBe(true)
    marks.note(['q'], true, 50_000, seen, 100)
    expect(marks.areCheap(['other', 'q'])).toBe(false)
  })
})

it('a take that finds nothing behind the marks looks at the front: a job that is ready again lies there', async () => {
  const columns = [
    '60',
    randomUUID(),
    '1',
    '1',
    '0',
    '0',
    null,
    null,
    '5',
    '3',
    'f',
    null,
    'test.job',
    '1',
    'q',
    String(laneRank.normal),
    'json',
    '1',
  ]
  const job = [...columns, null, null, null, null, '0']
  const search = ['2000', ...job.slice(1).map(() => null)]
  const asked: unknown[] = []
  // What the server would answer where searches from the front are slow, and find a job, and behind it there is none.
  const query = (_name: string, _text: string, values: readonly unknown[]): Promise<readonly Row[]> => {
    asked.push(values.at(-1))
    return Promise.resolve(values.at(-1) === null ? [search, job] : [search])
  }
  const claims = new Claims(
    { rule: (name: string) => name, query } as unknown as Database,
    quietLogger,
    () => 'log',
  )
  const take = () => claims.take(['q'], 10, workerRef(), randomUUID())
  await take()
  expect(await take()).toHaveLength(1)
  expect(asked).toEqual([null, '{0,0,60,0}', null])
})
