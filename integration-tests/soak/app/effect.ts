import { Client } from 'pg'
import type { Context } from '@errand/core'
import { effectsIn } from '../../faults/app/effects.ts'

/** In one transaction: the job's row in the application's own table, and its completion. */
export type Completes = (ctx: Context<undefined>) => Promise<void>

/** @param url of the job log, whose database is the application's too. */
export function completesIn(url: string): Completes {
  if (url.startsWith('sqlite:')) return (ctx) => effectsIn(url).write(ctx)
  const base = new URL(url)
  const schema = base.searchParams.get('schema') ?? 'errand'
  base.search = ''
  return async (ctx) => {
    const client = new Client({
      connectionString: base.href,
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
    })
    // A connection that is lost between two statements tells nobody else, and would end the process.
    client.on('error', () => {})
    await client.connect()
    try {
      await client.query('begin')
      await client.query(`insert into ${schema}.effects (job_id) values ($1)`, [ctx.job.id])
      await ctx.complete({ tx: client })
      await client.query('commit')
    } finally {
      await client.end().catch(() => {})
    }
  }
}
