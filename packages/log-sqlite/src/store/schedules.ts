import type { JobStore, ScheduleRow } from '@errand/core/engine'
import type { Row, Statements } from '../statements.ts'
import { json, marks, or } from './sql.ts'

export function scheduleTable(
  sql: Statements,
): Pick<JobStore, 'schedule' | 'schedules' | 'saveSchedule' | 'firstSchedules'> {
  return {
    schedule(name) {
      const row = sql.one('select * from errand_schedules where name = ?', name)
      return row && scheduleRow(row)
    },
    schedules() {
      return sql.all('select * from errand_schedules order by name').map((row) => scheduleRow(row))
    },
    saveSchedule(name, schedule) {
      if (!schedule) return sql.run('delete from errand_schedules where name = ?', name)
      sql.run(
        `insert or replace into errand_schedules (name, revision, due_at, job, is_declared, declared_by, body)
         values (${marks(7)})`,
        name,
        schedule.revision,
        or(schedule.dueAt),
        schedule.job,
        Number(schedule.isDeclared),
        or(schedule.declaredBy),
        schedule.body,
      )
    },
    firstSchedules({ names, jobs }, limit) {
      return sql
        .all(
          `select name, due_at from errand_schedules
            where due_at is not null and case is_declared when 1 then name in (select value from json_each(?))
                                                          else job in (select value from json_each(?)) end
            order by due_at limit ?`,
          json(names),
          json(jobs),
          limit + 1,
        )
        .map((row) => ({ name: String(row.name), dueAt: Number(row.due_at) }))
    },
  }
}

function scheduleRow(row: Row): ScheduleRow {
  return {
    name: String(row.name),
    revision: Number(row.revision),
    dueAt: row.due_at == null ? undefined : Number(row.due_at),
    job: String(row.job),
    isDeclared: row.is_declared === 1,
    declaredBy: row.declared_by == null ? undefined : String(row.declared_by),
    body: String(row.body),
  }
}
