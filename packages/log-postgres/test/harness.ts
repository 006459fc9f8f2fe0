import { Client } from 'pg'
import type { JobLogHarness } from '@errand/testkit'
import { openStage, url } from './stage.ts'

/** A schema of its own for every log. */
export const harness: JobLogHarness = {
  capabilities: { advance: true, transactions: 'row-locks', damage: true, freeze: true },
  create: async () => {
    const stage = openStage()
    const log = stage.open()
    let years: Promise<unknown> | undefined
    return {
      log,
      another: async (logger) => stage.open({}, logger),
      advance: async (ms) => {
        // Years pass in some stories; a partition for each of their days is the subject of another test.
        years ??= stage.sql(`update errand.sweeps set partitions_until = '9999-01-01'`)
        await years
        await stage.advance(ms)
      },
      damage: async (id) => {
        await stage.sql('update errand.live set version = 2147483647 where id = $1', [id])
      },
      // States and types of events are numbers, and these two have no meaning yet.
      freeze: async (id) => {
        await stage.sql('update errand.live set state = 99 where id = $1', [id])
        await stage.sql(
          `with told as (
             insert into errand.events (link, jobs, befores, version, type, state, name, queue, run, attempt)
             select 1, array[l.id], array[l.last], 2, 98, 99, 'a', 'q', 0, 0 from errand.live l where l.id = $1)
           update errand.live set last = 1 where id = $1`,
          [id],
        )
      },
      begin: async () => {
        const client = new Client({ connectionString: url })
        await client.connect()
        await client.query('begin')
        const end = async (how: string): Promise<void> => {
          await client.query(how)
          await client.end()
        }
        return { tx: client, commit: () => end('commit'), rollback: () => end('rollback') }
      },
      close: async () => {
        // Lists and takes rely on both. Every story of the conformance suite ends here.
        const wrong = await stage
          .sql(
            `select id, state, held from errand.live
              where held is distinct from case when state in (1, 2, 6, 8) then state end
             union all
             select x.id, x.state, null from errand.ended x
              where x.state = 5 and not exists (
                select from errand.succeeded_ranges r where r.start = errand.range_start(x.seq))`,
          )
          .catch(() => [])
        await stage.close()
        if (wrong.length > 0)
          throw new Error(`held differs from the state, or a success has no range: ${JSON.stringify(wrong)}`)
      },
    }
  },
}
