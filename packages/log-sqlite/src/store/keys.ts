import { mostWaitingCounted } from '@errand/core/ports'
import type { JobRow, JobStore, UniqueRow } from '@errand/core/engine'
import type { QueueKey } from '@errand/core/ports'
import { jobRow } from '../rows.ts'
import type { Statements, Value } from '../statements.ts'
import { live, or } from './sql.ts'

/** Ordering keys and unique keys. */
export function keyTables(
  sql: Statements,
): Pick<JobStore, 'holder' | 'setHolder' | 'firstOfKey' | 'blockedKeys' | 'unique' | 'setUnique'> {
  const rows = (query: string, ...values: Value[]): JobRow[] =>
    sql.all(query, ...values).map((row) => jobRow(row))
  return {
    holder({ queue, key }: QueueKey): string | undefined {
      const row = sql.one('select holder from errand_keys where queue = ? and key = ?', queue, key)
      return row && String(row.holder)
    },
    setHolder({ queue, key }: QueueKey, id: string | undefined): void {
      if (id === undefined) sql.run('delete from errand_keys where queue = ? and key = ?', queue, key)
      else sql.run('insert or replace into errand_keys (queue, key, holder) values (?, ?, ?)', queue, key, id)
    },
    firstOfKey({ queue, key }: QueueKey): JobRow | undefined {
      return rows(
        `select * from errand_jobs where queue = ? and ordering_key = ? and ${live} order by sequence limit 1`,
        queue,
        key,
      )[0]
    },
    blockedKeys(limit: number): (QueueKey & { holder: string; waiting: number })[] {
      return sql
        .all(
          `select k.queue, k.key, k.holder, (select count(*) from (select 1 from errand_jobs w
           where w.queue = k.queue and w.ordering_key = k.key and w.${live} limit ${mostWaitingCounted})) as waiting
         from errand_keys k join errand_jobs j on j.id = k.holder where +j.state = 'failed' order by j.finished_at limit ?`,
          limit,
        )
        .map((row) => ({
          queue: String(row.queue),
          key: String(row.key),
          holder: String(row.holder),
          waiting: Number(row.waiting),
        }))
    },
    unique(name: string, key: string): UniqueRow | undefined {
      const row = sql.one(
        'select job_id, free_at from errand_unique_keys where name = ? and key = ?',
        name,
        key,
      )
      return (
        row && { jobId: String(row.job_id), freeAt: row.free_at == null ? undefined : Number(row.free_at) }
      )
    },
    setUnique(name: string, key: string, unique: UniqueRow | undefined): void {
      if (!unique) sql.run('delete from errand_unique_keys where name = ? and key = ?', name, key)
      else
        sql.run(
          'insert or replace into errand_unique_keys (name, key, job_id, free_at) values (?, ?, ?, ?)',
          name,
          key,
          unique.jobId,
          or(unique.freeAt),
        )
    },
  }
}
