import { laneRank, lanes } from '@errand/core/ports'
import type { JobRow, JobStore } from '@errand/core/engine'
import type { JobFilter, JobState } from '@errand/core/ports'
import { jobRow } from '../rows.ts'
import type { Row, Statements } from '../statements.ts'
import { Where } from './sql.ts'

/** Queues with jobs in this state, from one to the next along an index: `distinct` would read every job. */
export function queuesWith(sql: Statements, state: JobState): string[] {
  const queues: string[] = []
  for (let at = ''; ;) {
    const next = sql.one(
      `select min(queue) as queue from errand_jobs where state = '${state}' and queue > ?`,
      at,
    )?.queue
    if (next == null) return queues
    at = String(next)
    queues.push(at)
  }
}

/**
 * Pages of jobs, newest dispatch first. Ready jobs, and those that wait for something or have failed or been cancelled, are
 * in this order in an index, queue by queue. Succeeded jobs are not: newer jobs in other states are passed over.
 */
export function jobPages(sql: Statements): Pick<JobStore, 'list'> {
  return {
    list(filter: JobFilter, limit: number, after: string | undefined): JobRow[] {
      const { state } = filter
      const page = (what: string, where: Where): Row[] =>
        sql.all(`select ${what} ${where.sql} order by sequence desc limit ?`, ...where.values, limit)
      /** What is asked for besides queue and state. */
      const matching = (): Where => {
        const where = new Where()
        if (filter.name !== undefined) where.and('name = ?', filter.name)
        if (filter.tag !== undefined)
          where.and('exists (select 1 from json_each(tags) where value = ?)', filter.tag)
        if (filter.before !== undefined) where.and('dispatched_at < ?', filter.before)
        if (after !== undefined)
          where.and('sequence < (select sequence from errand_jobs where id = ?)', after)
        return where
      }
      if (state === undefined || state === 'succeeded' || state === 'running') {
        const where = matching()
        if (state !== undefined) where.and(`state = '${state}'`)
        if (filter.queue !== undefined) where.and('queue = ?', filter.queue)
        const from = state === 'running' ? 'errand_jobs indexed by errand_jobs_running' : 'errand_jobs'
        return page(`* from ${from}`, where).map((row) => jobRow(row))
      }

      const queues = filter.queue === undefined ? queuesWith(sql, state) : [filter.queue]
      const found = queues.flatMap((queue) => {
        const where = (): Where => matching().and(`state = '${state}'`).and('queue = ?', queue)
        return state === 'ready'
          ? lanes.flatMap((lane) =>
              page(
                'sequence from errand_jobs indexed by errand_jobs_ready',
                where().and('lane = ?', laneRank[lane]),
              ),
            )
          : page('sequence from errand_jobs indexed by errand_jobs_held', where())
      })
      const newest = found.map(({ sequence }) => Number(sequence)).toSorted((a, b) => b - a)
      return sql
        .all(
          'select * from errand_jobs where sequence in (select value from json_each(?)) order by sequence desc',
          JSON.stringify(newest.slice(0, limit)),
        )
        .map((row) => jobRow(row))
    },
  }
}
