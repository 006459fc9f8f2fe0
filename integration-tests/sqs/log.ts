import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { inject } from 'vitest'
import type { TestContext } from 'vitest'
import type { LogFactory } from '@errand/core/ports'
import { logFromUrl } from '../services/logs.ts'
import { steppedClock } from '@errand/testkit'

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
  const folder = mkdtempSync(join(tmpdir(), 'errand-sqs-'))
  test.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const clock = steppedClock()
  const real = logFromUrl(`sqlite:${join(folder, 'errand.db')}`)
  return {
    // Without a thread for the heartbeat, which would have a clock of its own.
    factory: { errand: 'job-log', name: real.name, open: (context) => real.open({ ...context, clock }) },
    advance: async (ms) => clock.advance(ms),
  }
}

function onPostgres(test: TestContext): MovableLog {
  const schema = `sqs_${randomBytes(6).toString('hex')}`
  const sql = async (text: string): Promise<void> => {
    const client = new Client(inject('postgres'))
    await client.connect()
    await client.query(text)
    await client.end()
  }
  test.onTestFinished(() => sql(`drop schema if exists ${schema} cascade`))
  const url = new URL(inject('postgres') ?? '')
  url.searchParams.set('schema', schema)
  url.searchParams.set('poolSize', '3')
  return {
    factory: logFromUrl(url.href),
    // The log reads the time from one function of its schema.
    advance: (ms) =>
      sql(`
        create table if not exists ${schema}.ahead as select 0::bigint as ms;
        create or replace function ${schema}.clock() returns timestamptz language sql volatile
          return clock_timestamp() + (select ms from ${schema}.ahead) * interval '1 millisecond';
        update ${schema}.ahead set ms = ms + ${ms}`),
  }
}
