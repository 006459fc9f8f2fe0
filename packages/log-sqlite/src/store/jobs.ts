import { DamagedRow, finalStates, laneRank, lanes } from '@errand/core/ports'
import type { JobRow, JobStore } from '@errand/core/engine'
import type { Encoded, FinalState, NewJob, StoredJob, Unfinished } from '@errand/core/ports'
import { isRefusedData } from '../connection.ts'
import { jobRow, storedJob } from '../rows.ts'
import type { Statements, Value } from '../statements.ts'
import { mendMemory } from './memory.ts'
import { json, marks, or } from './sql.ts'

type Columns = Readonly<Record<string, (row: Omit<JobRow, 'sequence'>) => Value>>

/** Columns that an insert and each update write. */
const common: Columns = {
  queue: (row) => row.queue,
  lane: (row) => laneRank[row.lane],
  state: (row) => row.state,
  run: (row) => row.run,
  attempt: (row) => row.attempt,
  crashes: (row) => row.crashes,
  streak: (row) => row.streak,
  version: (row) => row.version,
  run_at: (row) => or(row.runAt),
  publish_after: (row) => or(row.publishAfter),
  publishes: (row) => row.publishes,
  replays: (row) => row.replays,
  turn: (row) => or(row.turn),
  at_limit: (row) => (row.atLimit ? 1 : null),
  needed: (row) => (row.needed ? 1 : null),
  has_needs: (row) => (row.hasNeeds ? 1 : null),
}
const inserted: Columns = {
  ...common,
  id: (row) => row.id,
  name: (row) => row.name,
  max_attempts: (row) => row.maxAttempts,
  max_crashes: (row) => row.maxCrashes,
  on_crash: (row) => row.onCrash,
  timeout_ms: (row) => row.timeoutMs,
  ordering_key: (row) => or(row.orderingKey),
  on_failure: (row) => row.onFailure,
  unique_key: (row) => or(row.uniqueKey),
  unique_until: (row) => row.uniqueUntil,
  share_key: (row) => or(row.shareKey),
  unique_for_ms: (row) => or(row.uniqueForMs),
  tags: (row) => json(row.tags),
  dispatched_at: (row) => row.dispatchedAt,
  expires_at: (row) => or(row.expiresAt),
  limit_name: (row) => or(row.limit?.name),
  limit_key: (row) => or(row.limit?.key),
  flow: (row) => or(row.flow),
  may_fail: (row) => (row.mayFail ? 1 : null),
}
const updated: Columns = {
  ...common,
  worker: (row) => or(row.worker),
  request: (row) => or(row.request),
  deadline: (row) => or(row.deadline),
  cancel_by: (row) => or(row.cancelBy),
  cancel_reason: (row) => or(row.cancelReason),
  parked_since: (row) => or(row.parkedSince),
  finished_at: (row) => or(row.finishedAt),
  resumed_at: (row) => or(row.resumedAt),
  progress: (row) => or(row.progress),
  progress_message: (row) => or(row.progressMessage),
}
const insertedValues = Object.values(inserted)
const updatedValues = Object.values(updated)
const insertJob = `insert into errand_jobs (${Object.keys(inserted).join(', ')}, parent_id)
  values (${marks(insertedValues.length + 1)}) returning sequence`
const updateJob = `update errand_jobs set ${Object.keys(updated)
  .map((column) => `${column} = ?`)
  .join(', ')} where sequence = ?`

const unfinishedJobs = `select id, version from errand_jobs
  where id in (select value from json_each(?)) and state not in (${finalStates.map((state) => `'${state}'`).join(', ')})`

const most = Number.MAX_SAFE_INTEGER
const within = (column: string): string => `${column} = max(0, min(${column}, 2147483647))`
const orNone = (column: string): string =>
  `${column} = case when ${column} between 0 and ${most} then ${column} end`
const mended = [
  `version = (select coalesce(max(e.version), 0) from errand_events e
    where e.job_id = errand_jobs.id and e.version between 0 and ${most - 1})`,
  ...['run', 'attempt', 'crashes', 'streak', 'publishes', 'replays', 'max_attempts', 'max_crashes'].map(
    within,
  ),
  ...[
    'deadline',
    'run_at',
    'publish_after',
    'parked_since',
    'finished_at',
    'timeout_ms',
    'turn',
    'resumed_at',
  ].map(orNone),
  ...['unique_for_ms', 'expires_at'].map(orNone),
  `dispatched_at = max(0, min(dispatched_at, ${most}))`,
  `lane = case when lane in (${lanes.map((lane) => laneRank[lane]).join(', ')}) then lane else ${laneRank.low} end`,
]
const mendJob = `update errand_jobs set ${mended.join(', ')} where id = ?`
const mendPayload = `insert or ignore into errand_payloads (sequence, payload_version, codec, payload, meta)
  select sequence, 1, 'json', 'null', '{}' from errand_jobs where id = ?`

/** Jobs and their payloads. */
export function jobTables(
  sql: Statements,
): Pick<
  JobStore,
  | 'row'
  | 'unfinished'
  | 'stored'
  | 'insert'
  | 'update'
  | 'savePayload'
  | 'remove'
  | 'mend'
  | 'isRefusedData'
  | 'finished'
> {
  const rows = (query: string, ...values: Value[]): JobRow[] =>
    sql.all(query, ...values).map((row) => jobRow(row))
  return {
    row(id: string): JobRow | undefined {
      return rows('select * from errand_jobs where id = ?', id)[0]
    },
    unfinished(ids: readonly string[]): Unfinished[] {
      return sql
        .all(unfinishedJobs, JSON.stringify(ids))
        .map(({ id, version }) => ({ id: String(id), version: Number(version) }))
    },
    stored(job: JobRow): StoredJob {
      const row = sql.one(
        `select p.payload_version, p.codec, p.payload, p.meta, j.parent_id
       from errand_payloads p join errand_jobs j on j.sequence = p.sequence where p.sequence = ?`,
        job.sequence,
      )
      if (!row) throw new DamagedRow(job.id, new Error('its payload is missing'))
      return storedJob(job, row)
    },
    insert(row: Omit<JobRow, 'sequence'>, job: NewJob): JobRow {
      const values = insertedValues.map((value) => value(row))
      const returned = sql.one(insertJob, ...values, or(job.parentId))
      const sequence = Number(returned?.sequence)
      sql.run(
        'insert into errand_payloads (sequence, payload_version, codec, payload, meta) values (?, ?, ?, ?, ?)',
        sequence,
        job.payloadVersion,
        job.payload.codec,
        job.payload.text,
        json(job.meta),
      )
      return { ...row, sequence }
    },
    update(row: JobRow): void {
      sql.run(updateJob, ...updatedValues.map((value) => value(row)), row.sequence)
    },
    savePayload(id: string, payload: Encoded): void {
      sql.run(
        'update errand_payloads set codec = ?, payload = ? where sequence = (select sequence from errand_jobs where id = ?)',
        payload.codec,
        payload.text,
        id,
      )
    },
    remove(id: string): void {
      sql.run(
        'delete from errand_payloads where sequence = (select sequence from errand_jobs where id = ?)',
        id,
      )
      sql.run('delete from errand_jobs where id = ?', id)
    },
    mend(id: string): JobRow | undefined {
      sql.run(mendJob, id)
      sql.run(mendPayload, id)
      mendMemory(sql, id)
      return rows('select * from errand_jobs where id = ?', id)[0]
    },
    isRefusedData,
    finished(states: readonly FinalState[], until: number, limit: number): JobRow[] {
      return rows(
        `select j.* from errand_jobs j where j.state in (${marks(states.length)}) and j.finished_at <= ? and j.flow is null
         and not exists (select 1 from errand_keys k where k.queue = j.queue and k.key = j.ordering_key and k.holder = j.id)
       limit ?`,
        ...states,
        until,
        limit,
      )
    },
  }
}
