import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobFilter } from '@errand/core/ports'
import { OneJob } from '../src/one-job.ts'
import { Operations } from '../src/operations.ts'
import { Records } from '../src/records.ts'
import { explain } from './explain.ts'
import type { Explained } from './explain.ts'
import { openMigrated, url } from './stage.ts'
import type { Stage } from './stage.ts'

const finished = 2_000
/** More than are counted one by one, and than the pages hold from which the others are estimated. */
const sizes = [15_000, 60_000] as const

interface Log {
  readonly stage: Stage
  readonly explained: Explained
  readonly records: Records
  readonly operations: Operations
}

/** A backlog comes at once, and the planner's statistics are from before it. */
describe.skipIf(url === undefined)('a backlog of which there are no statistics', () => {
  const logs: Log[] = []

  beforeAll(async () => {
    for (const size of sizes) {
      const { stage } = await openMigrated()
      await fill(stage, size)
      const explained = explain(await stage.client(), stage.schema)
      const { database } = explained
      const records = new Records(database, new OneJob(database))
      const operations = new Operations(database, {} as never, () => '', {} as never)
      logs.push({ stage, explained, records, operations })
    }
  })
  afterAll(() => Promise.all(logs.map(({ stage }) => stage.close())))

  /** From the oldest on: jobs that have succeeded, then as many ready ones as `size`, and as many scheduled ones. */
  async function fill(stage: Stage, size: number): Promise<void> {
    for (const text of [
      ...['jobs', 'live', 'ended', 'succeeded_ranges'].map(
        (table) => `alter table errand.${table} set (autovacuum_enabled = off)`,
      ),
      `insert into errand.jobs (seq, id, dispatched_at, payload_version, max_attempts, max_crashes, lane, fails_on_crash,
                                skips_on_failure, unique_mode, name, queue, codec, payload)
       select n, gen_random_uuid(), now(), 1, 3, 5, 300, false, false, 0, 'job', 'q', 'json', '1'
         from generate_series(1, ${finished + 2 * size}) n`,
      `insert into errand.ended (id, seq, at, last, version, run, state)
       select id, seq, dispatched_at, seq, 3, 1, 5 from errand.jobs where seq <= ${finished}`,
      `insert into errand.succeeded_ranges (start) select distinct errand.range_start(seq) from errand.ended`,
      `insert into errand.live (id, seq, run_at, lane, unique_mode, fails_on_crash, skips_on_failure, queue, name, held, state, last)
       select j.id, j.seq, case when s.held = 1 then now() + interval '1 hour' end, j.lane, 0, false, false, j.queue, j.name,
              s.held, coalesce(s.held, 3), j.seq
         from errand.jobs j
        cross join lateral (select case when j.seq > ${finished + size} then 1 end as held) s
        where j.seq > ${finished}`,
      `insert into errand.events (link, at, run, attempt, version, type, state, name, queue, jobs)
       select seq, dispatched_at, 1, 1, 3, 6, 5, 'job', 'q', array[id] from errand.jobs`,
    ])
      await stage.sql(text)
  }

  /** Blocks that the same call reads with each size. */
  const eachReads = (act: (log: Log) => Promise<unknown>): Promise<number[]> =>
    Promise.all(logs.map((log) => log.explained.blocksRead(() => act(log))))

  const filters: readonly JobFilter[] = [
    { state: 'succeeded' },
    { state: 'succeeded', queue: 'q', name: 'job' },
    { state: 'ready' },
    { state: 'scheduled' },
    { state: 'scheduled', queue: 'q' },
  ]
  it.each(filters)(
    'a page, and the next, read as much of a small backlog as of a large one: %j',
    async (filter) => {
      let after: (string | undefined)[] = sizes.map(() => undefined)
      for (let page = 0; page < 3; page++) {
        const next: string[] = []
        const [small, large] = await eachReads(async (log) => {
          const found = await log.records.list(filter, { limit: 20, after: after[logs.indexOf(log)] })
          expect(found.map(({ state }) => state)).toEqual(Array.from({ length: 20 }, () => filter.state))
          next[logs.indexOf(log)] = found.at(-1)!.id
        })
        expect(large).toBeLessThan(1_000)
        expect(large).toBeLessThan(1.5 * small!)
        after = next
      }
    },
  )

  it('queues are counted from as many blocks of a small backlog as of a large one', async () => {
    const [small, large] = await eachReads(async ({ operations }) => {
      expect(await operations.queues()).toMatchObject([{ estimated: ['ready', 'scheduled'] }])
    })
    expect(large).toBeLessThan(1.5 * small!)
  })

  it('what doctor counts it reads from as many blocks of a small backlog as of a large one', async () => {
    const [small, large] = await eachReads(({ operations }) => operations.backlogs(1_000))
    expect(large).toBeLessThan(1.5 * small!)
  })
})
