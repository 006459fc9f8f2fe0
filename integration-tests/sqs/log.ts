import type { TestContext } from 'vitest'
import type { LogFactory } from '@errand/core/ports'
import { steppedClock } from '@errand/testkit'
import { makeLog } from '../fleet/shared.ts'
import { readSchema, toServer } from '../fleet/urls.ts'
import { logFromUrl } from '../services/logs.ts'
import { onServer } from '../services/private-postgres.ts'

/** A job log of the test's own, whose time can be moved ahead while its workers go on. */
export interface MovableLog {
  readonly factory: LogFactory
  /** Moves the log's time, which alone decides what is due and what is overdue. Call it when the log has been migrated. */
  readonly advance: (ms: number) => Promise<void>
}

export function movableLog(name: string, test: TestContext): MovableLog {
  return name === 'sqlite' ? onSqlite(test) : onPostgres(test)
}

function onSqlite(test: TestContext): MovableLog {
  const clock = steppedClock()
  const real = logFromUrl(makeLog('sqlite', test.onTestFinished))
  return {
    // Without a thread for the heartbeat, which would have a clock of its own.
    factory: { errand: 'job-log', name: real.name, open: (context) => real.open({ ...context, clock }) },
    advance: async (ms) => clock.advance(ms),
  }
}

function onPostgres(test: TestContext): MovableLog {
  const url = makeLog('postgres', test.onTestFinished)
  const schema = readSchema(url)
  return {
    factory: logFromUrl(url),
    // The log reads the time from one function of its schema.
    advance: (ms) =>
      onServer(toServer(url), async (client) => {
        await client.query(`
          create table if not exists ${schema}.ahead as select 0::bigint as ms;
          create or replace function ${schema}.clock() returns timestamptz language sql volatile
            return clock_timestamp() + (select ms from ${schema}.ahead) * interval '1 millisecond';
          update ${schema}.ahead set ms = ms + ${ms}`)
      }),
  }
}
