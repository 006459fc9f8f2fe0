import { beforeAll, expect, it } from 'vitest'
import type { JobFilter } from '@errand/core/ports'
import { diagnose } from '../src/diagnose.ts'
import { OneJob } from '../src/one-job.ts'
import { Operations } from '../src/operations.ts'
import { Records } from '../src/records.ts'
import { explain } from './explain.ts'
import type { Explained } from './explain.ts'
import { describeOnPostgres } from './stage.ts'

const ready = 100_000
const queues = 7

/** Operators look at a fleet when something is wrong: then there may be any number of jobs. */
describeOnPostgres('with a hundred thousand jobs in each of three states', ({ stage }) => {
  let records: Records
  let operations: Operations
  let explained: Explained

  beforeAll(async () => {
    await fill()
    explained = explain(await stage.client(), stage.schema)
    const { database } = explained
    records = new Records(database, new OneJob(database))
    operations = new Operations(database, {} as never, () => '', {} as never)
  })

  /** From the oldest on: jobs that have ended, one in a thousand otherwise than well; scheduled ones; ready ones, twenty of which run. */
  async function fill(): Promise<void> {
    for (const text of [
      `insert into errand.jobs (seq, id, dispatched_at, payload_version, max_attempts, max_crashes, lane, fails_on_crash,
                                skips_on_failure, unique_mode, name, queue, codec, payload)
       select n, gen_random_uuid(), now() - interval '1 day' + n * interval '1 millisecond', 1, 3, 5, 300, false, false, 0, 'job',
              'q' || n % ${queues}, 'json', '1' from generate_series(1, ${3 * ready}) n`,
      `insert into errand.ended (id, seq, at, last, version, run, state)
       select id, seq, dispatched_at, seq, 3, 1, case seq % 1000 when 1 then 6 when 2 then 7 else 5 end
         from errand.jobs where seq <= ${ready}`,
      `insert into errand.succeeded_ranges (start) select distinct errand.range_start(seq) from errand.ended where state = 5`,
      `insert into errand.live (id, seq, run_at, lane, unique_mode, fails_on_crash, skips_on_failure, queue, name,
                                held, state, last, worker, run, key)
       select id, seq, case when seq <= ${2 * ready} then now() + interval '1 hour' end, lane, 0, false, false, queue, name,
              case when seq % 5000 = 1 then 6 when seq <= ${2 * ready} then 1 end,
              case when seq % 5000 = 1 then 6 when seq <= ${2 * ready} then 1 when seq % 5000 = 2 then 4 else 3 end, seq,
              case when seq % 5000 = 2 then 'w' end, 1, case when seq % 5000 = 1 then 'k' || seq end
         from errand.jobs where seq > ${ready}`,
      `insert into errand.grants (worker, request, jobs, runs)
       select 'w', 'r', array_agg(id), array_agg(1) from errand.live where state = 4`,
      `insert into errand.events (link, at, run, attempt, version, type, state, name, queue, jobs)
       select seq, dispatched_at, 1, 1, 3, 6, 5, 'job', 'q0', array[id] from errand.jobs`,
      `analyze errand.jobs, errand.live, errand.ended`,
    ])
      await stage.sql(text)
  }

  const blocksRead = (act: () => Promise<unknown>): Promise<number> => explained.blocksRead(act)

  const states = ['ready', 'running', 'scheduled', 'blocked', 'succeeded', 'failed', 'cancelled'] as const
  const filters: readonly JobFilter[] = [
    {},
    { queue: 'q3' },
    ...states.flatMap((state) => [{ state }, { state, queue: 'q3' }]),
    { state: 'ready', name: 'job', before: Date.now() },
  ]
  it.each(filters)('a page of jobs reads a few blocks for each: %j', async (filter) => {
    const limit = 10
    for (const after of [undefined, await middle(filter)]) {
      let page: readonly unknown[] = []
      const blocks = await blocksRead(async () => {
        page = await records.list(filter, { limit, after })
      })
      // The queues that have none in this state, and those from which jobs are chosen, are read as well.
      expect(blocks).toBeLessThan(20 * limit + 6 * limit * queues)
      if (filter.state !== 'blocked' && after === undefined) expect(page.length).toBeGreaterThan(0)
    }
  })

  /** A job with as many matching ones before it as behind it. */
  async function middle({ state, queue }: JobFilter): Promise<string | undefined> {
    const code = {
      ready: 3,
      running: 4,
      scheduled: 1,
      blocked: 2,
      failed: 6,
      cancelled: 7,
      succeeded: 5,
      suspended: 8,
    }
    const which = state === undefined ? 'true' : `coalesce(l.state, x.state) = ${code[state]}`
    const rows = await stage.sql(
      `select j.id from errand.jobs j left join errand.live l on l.id = j.id left join errand.ended x on x.id = j.id
        where ${which} and ($1::text is null or j.queue = $1) order by j.seq
        offset (select count(*) / 2 from errand.jobs j left join errand.live l on l.id = j.id
                  left join errand.ended x on x.id = j.id where ${which} and ($1::text is null or j.queue = $1)) limit 1`,
      [queue ?? null],
    )
    return rows[0]?.['id'] as string | undefined
  }

  it('the pages of a state have all of its jobs, newest dispatch first', async () => {
    for (const state of ['failed', 'cancelled', 'running'] as const) {
      const found: string[] = []
      for (let after: string | undefined; ;) {
        const page = await records.list({ state }, { limit: 90, after })
        found.push(...page.map(({ id }) => id))
        after = page.at(-1)?.id
        if (after === undefined) break
      }
      const code = { failed: 6, cancelled: 7, running: 4 }[state]
      const all = await stage.sql(
        `select id from (select id, seq, state from errand.live union all select id, seq, state from errand.ended) j
          where state = ${code} order by seq desc`,
      )
      expect(found).toEqual(all.map(({ id }) => id))
    }
  })

  it('a list of queues counts some of their jobs, estimates the others, and says so', async () => {
    let found: Awaited<ReturnType<typeof operations.queues>> = []
    const blocks = await blocksRead(async () => {
      found = await operations.queues()
    })
    expect(blocks).toBeLessThan(20_000)
    expect(explained.rowsRead()).toBeLessThan(80_000)
    expect(found).toHaveLength(queues)
    for (const queue of found) {
      const exact = { ready: ready / queues, scheduled: ready / queues }
      for (const state of ['ready', 'scheduled'] as const) {
        expect(queue[state]).toBeGreaterThan(0.6 * exact[state])
        expect(queue[state]).toBeLessThan(1.5 * exact[state])
      }
      expect(queue).toMatchObject({ blocked: 0, estimated: ['ready', 'scheduled'] })
    }
    expect(found.reduce((sum, { running }) => sum + running, 0)).toBe(ready / 5_000)
  })

  it('what doctor asks for reads a few blocks of each queue', async () => {
    expect(await blocksRead(() => operations.backlogs(1_000))).toBeLessThan(10_000)
    expect(await blocksRead(() => operations.blockedKeys(10))).toBeLessThan(1_000)
    expect(await blocksRead(() => diagnose(explained.database))).toBeLessThan(500)
  })
})
