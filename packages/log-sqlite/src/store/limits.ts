import type { JobRow, JobStore, LimitKeyRow, LimitRow } from '@errand/core/engine'
import type { Closing, LimitValues } from '@errand/core/ports'
import { jobRow } from '../rows.ts'
import type { Row, Statements, Value } from '../statements.ts'
import { marks, or } from './sql.ts'

const held = `limit_name is not null and state in ('ready', 'running')`
const ofKey = (key: string | undefined): string => (key === undefined ? '' : 'and limit_key = ?')

/** Limits, their keys, and the jobs that wait at them or have a place. */
export function limitTables(
  sql: Statements,
): Pick<
  JobStore,
  | 'limit'
  | 'limits'
  | 'saveLimit'
  | 'removeLimit'
  | 'limitKey'
  | 'saveLimitKey'
  | 'removeLimitKey'
  | 'waitingKeys'
  | 'limitKeys'
  | 'dueLimits'
  | 'nextLimit'
  | 'heldOf'
  | 'atLimit'
  | 'countAtLimit'
> {
  const given = (name: string, key: string | undefined): Value[] => [
    name,
    ...(key === undefined ? [] : [key]),
  ]
  const keys = (where: string, name: string, limit: number): LimitKeyRow[] =>
    sql
      .all(
        `select * from errand_limit_keys where name = ? ${where} order by waits desc, turn limit ?`,
        name,
        limit,
      )
      .map((row) => keyRow(row))
  return {
    limit(name) {
      const row = sql.one('select * from errand_limits where name = ?', name)
      return row && limitRow(row)
    },
    limits() {
      return sql.all('select * from errand_limits order by name').map((row) => limitRow(row))
    },
    saveLimit(limit) {
      sql.run(
        `insert or replace into errand_limits (name, revision, limits, body, turn, tat, admit_at, closed)
         values (${marks(8)})`,
        limit.name,
        limit.revision,
        limit.values ? JSON.stringify(limit.values) : null,
        limit.body,
        limit.turn,
        or(limit.tat),
        or(limit.admitAt),
        limit.closed ? JSON.stringify(limit.closed) : null,
      )
    },
    removeLimit(name) {
      sql.run('delete from errand_limits where name = ?', name)
    },
    limitKey(name, key) {
      const row = sql.one('select * from errand_limit_keys where name = ? and key = ?', name, key)
      return row && keyRow(row)
    },
    saveLimitKey(row) {
      sql.run(
        `insert or replace into errand_limit_keys (name, key, turn, waits, tat, admit_at, closed)
         values (${marks(7)})`,
        row.name,
        row.key,
        row.turn,
        Number(row.waits),
        or(row.tat),
        or(row.admitAt),
        row.closed ? JSON.stringify(row.closed) : null,
      )
    },
    removeLimitKey({ name, key }) {
      sql.run('delete from errand_limit_keys where name = ? and key = ?', name, key)
    },
    waitingKeys: (name, limit) => keys('and waits = 1', name, limit),
    limitKeys: (name, limit) => keys('', name, limit),
    dueLimits(now, limit) {
      return sql
        .all(
          `select name, null as key, admit_at from errand_limits where admit_at <= ?
           union all select name, key, admit_at from errand_limit_keys where admit_at <= ?
           order by admit_at limit ?`,
          now,
          now,
          limit,
        )
        .map(({ name, key }) => ({ name: String(name), key: key == null ? undefined : String(key) }))
    },
    nextLimit() {
      const next = sql.one(
        `select min(at) as at from (select min(admit_at) as at from errand_limits where admit_at is not null
           union all select min(admit_at) from errand_limit_keys where admit_at is not null)`,
      )?.at
      return next == null ? undefined : Number(next)
    },
    heldOf(name, key) {
      const counts = { ready: 0, running: 0 }
      for (const { state, n } of sql.all(
        `select state, count(*) as n from errand_jobs where limit_name = ? ${ofKey(key)} and ${held} group by state`,
        ...given(name, key),
      ))
        counts[String(state) as keyof typeof counts] = Number(n)
      return counts
    },
    atLimit({ name, key }, except, limit): JobRow[] {
      return sql
        .all(
          `select * from errand_jobs where at_limit = 1 and limit_name = ? and limit_key = ?
             and queue not in (select value from json_each(?)) order by lane, sequence limit ?`,
          name,
          key,
          JSON.stringify(except),
          limit,
        )
        .map((row) => jobRow(row))
    },
    countAtLimit(name, key, most) {
      const row = sql.one(
        `select count(*) as n from
           (select 1 from errand_jobs where at_limit = 1 and limit_name = ? ${ofKey(key)} limit ?)`,
        ...given(name, key),
        most,
      )
      return Number(row?.n)
    },
  }
}

const maybe = (value: Value | undefined): number | undefined => (value == null ? undefined : Number(value))

function limitRow(row: Row): LimitRow {
  return {
    name: String(row.name),
    revision: Number(row.revision),
    values: row.limits == null ? undefined : (JSON.parse(String(row.limits)) as LimitValues),
    body: String(row.body),
    turn: Number(row.turn),
    tat: maybe(row.tat),
    admitAt: maybe(row.admit_at),
    closed: row.closed == null ? undefined : (JSON.parse(String(row.closed)) as Closing),
  }
}

function keyRow(row: Row): LimitKeyRow {
  return {
    name: String(row.name),
    key: String(row.key),
    turn: Number(row.turn),
    waits: row.waits === 1,
    tat: maybe(row.tat),
    admitAt: maybe(row.admit_at),
    closed: row.closed == null ? undefined : (JSON.parse(String(row.closed)) as Closing),
  }
}
