import type { JobStore, NewEvent, StoredEvent } from '@errand/core/engine'
import { storedEvent } from '../rows.ts'
import type { Statements } from '../statements.ts'
import { json, marks, or, Where } from './sql.ts'

const insertEvent = `insert into errand_events (job_id, version, type, state, name, queue, tags, at, run, attempt, worker,
  data, codec, body) values (${marks(14)})`

/** The history: append-only, and pruned from its beginning. */
export function eventTable(
  sql: Statements,
): Pick<JobStore, 'addEvent' | 'removeEvents' | 'eventsOf' | 'events' | 'span'> {
  return {
    addEvent(event: NewEvent): void {
      sql.run(
        insertEvent,
        event.jobId,
        event.version,
        event.type,
        event.state,
        event.name,
        event.queue,
        json(event.tags),
        event.at,
        event.run,
        event.attempt,
        or(event.worker),
        json(event.data),
        or(event.body?.codec),
        or(event.body?.text),
      )
    },
    removeEvents(before: number, limit: number): number {
      const old = sql.all('select position, at from errand_events order by position limit ?', limit)
      const first = old.findIndex((event) => Number(event.at) >= before)
      const count = first === -1 ? old.length : first
      const last = old[count - 1]
      if (!last) return 0
      sql.run('delete from errand_events where position <= ?', Number(last.position))
      sql.run('update errand_log set pruned_through = ?', Number(last.position))
      return count
    },
    eventsOf(id: string): StoredEvent[] {
      return sql
        .all('select * from errand_events where job_id = ? order by version', id)
        .map((row) => storedEvent(row))
    },
    events(
      after: number,
      limit: number,
      { job, queue, tag }: { job?: string; queue?: string; tag?: string },
    ): StoredEvent[] {
      const where = new Where().and('position > ?', after)
      if (job !== undefined) where.and('job_id = ?', job)
      if (queue !== undefined) where.and('queue = ?', queue)
      if (tag !== undefined) where.and('exists (select 1 from json_each(tags) where value = ?)', tag)
      return sql
        .all(`select * from errand_events ${where.sql} order by position limit ?`, ...where.values, limit)
        .map((row) => storedEvent(row))
    },
    span(): readonly [oldest: number, newest: number] {
      const newest = sql.one(`select seq from sqlite_sequence where name = 'errand_events'`)?.seq
      const pruned = sql.one('select pruned_through from errand_log')?.pruned_through
      return [Number(pruned ?? 0) + 1, Number(newest ?? 0)]
    },
  }
}
