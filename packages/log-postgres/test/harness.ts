import { Client } from 'pg'
import { inject } from 'vitest'
import type { JobLogHarness } from '@errand/testkit'
import { openStage } from './stage.ts'

/** The server of this run, if there is one. */
export const url: string | undefined = inject('postgres')

/** A schema of its own for every log. */
export const harness: JobLogHarness = {
  capabilities: { advance: true, transactions: 'row-locks', damage: true },
  create: async () => {
    const stage = openStage(url!)
    const log = stage.open()
    let clock: Promise<unknown> | undefined
    return {
      log,
      another: async (logger) => stage.open({}, logger),
      // The log reads the time from one function of its schema.
      advance: async (ms) => {
        clock ??= stage.sql(`
          create table errand.ahead as select 0::bigint as ms;
          create or replace function errand.clock() returns timestamptz language sql volatile
            return clock_timestamp() + (select ms from errand.ahead) * interval '1 millisecond';
          -- Years pass in some stories; a partition for each of their days is the subject of another test.
          update errand.sweeps set partitions_until = '9999-01-01'`)
        await clock
        await stage.sql('update errand.ahead set ms = ms + $1', [ms])
      },
      damage: async (id) => {
        await stage.sql('update errand.live set version = 2147483647 where id = $1', [id])
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
      close: () => stage.close(),
    }
  },
}
