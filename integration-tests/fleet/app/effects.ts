import { DatabaseSync } from 'node:sqlite'
import { Pool } from 'pg'
import type { Context, Transaction } from '@errand/core'
import { onServer } from '../../services/private-postgres.ts'
import { readSchema, toServer } from '../urls.ts'

/** What jobs write into the application's own table, together with what the log keeps of it. */
export interface Effects {
  /** Writes a row for the job and its completion in one transaction. */
  write(ctx: Context<undefined>): Promise<void>
  /** Writes a row for a step of the job, and the step, in one transaction. */
  writeStep(name: string, ctx: Context<undefined>): Promise<void>
}

/** A transaction of the application's own, and how a row is written in it. */
type Work = (tx: Transaction, insert: (row: string) => Promise<void>) => Promise<void>

/** @param url of the job log, whose database is the application's too. */
export function effectsIn(url: string): Effects {
  const transaction = url.startsWith('sqlite:') ? onSqlite(url.slice('sqlite:'.length)) : onPostgres(url)
  return {
    write: (ctx) =>
      transaction(async (tx, insert) => {
        await insert(ctx.job.id)
        await ctx.complete({ tx })
      }),
    writeStep: (name, ctx) =>
      transaction(async (tx, insert) => {
        await ctx.step(name, () => insert(`${ctx.job.id}/${name}`), { tx })
      }),
  }
}

function onSqlite(file: string): (work: Work) => Promise<void> {
  return async (work) => {
    // Eight processes write to the file, and none of them must be refused. On a slow machine a turn takes long.
    const connection = new DatabaseSync(file, { timeout: 60_000 })
    try {
      connection.exec('begin immediate')
      await work(connection, async (row) => {
        connection.prepare('insert into effects (job_id) values (?)').run(row)
      })
      connection.exec('commit')
    } finally {
      connection.close()
    }
  }
}

function onPostgres(url: string): (work: Work) => Promise<void> {
  const pool = new Pool({
    connectionString: toServer(url),
    max: 2,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  })
  // A connection that breaks, idle or in use, must not end the process: the statement under way hears of it as well.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return async (work) => {
    const client = await pool.connect()
    let failure: unknown = true
    try {
      await client.query('begin')
      await work(client, async (row) => {
        await client.query(`insert into ${readSchema(url)}.effects (job_id) values ($1)`, [row])
      })
      await client.query('commit')
      failure = undefined
    } finally {
      // The transaction did not end, so nobody knows its state.
      client.release(failure !== undefined)
    }
  }
}

export async function createEffects(url: string): Promise<void> {
  if (url.startsWith('sqlite:')) return onFile(url, (file) => file.exec('create table effects (job_id text)'))
  await onServer(toServer(url), (client) =>
    client.query(`create table ${readSchema(url)}.effects (job_id text)`),
  )
}

/** The jobs of the rows, one for each row; of a step, with its name. */
export async function readEffects(url: string): Promise<readonly string[]> {
  const rows = url.startsWith('sqlite:')
    ? onFile(url, (file) => file.prepare('select job_id from effects').all())
    : await onServer(
        toServer(url),
        async (client) => (await client.query(`select job_id from ${readSchema(url)}.effects`)).rows,
      )
  return (rows as { job_id: string }[]).map(({ job_id }) => job_id)
}

function onFile<T>(url: string, act: (file: DatabaseSync) => T): T {
  const file = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
  try {
    return act(file)
  } finally {
    file.close()
  }
}
