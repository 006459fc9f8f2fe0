import { DamagedRow, knownState } from '@errand/core/ports'
import type { JobStore, StepRow } from '@errand/core/engine'
import type { NewMessage, StoredStep, UnreadMessage } from '@errand/core/ports'
import { count, encoded, optionalCount, optionalText } from '../rows.ts'
import type { Row, Statements, Value } from '../statements.ts'
import { marks, or } from './sql.ts'

type Columns = Readonly<Record<string, (step: StepRow) => Value>>

const columns: Columns = {
  job_id: (step) => step.job,
  name: (step) => step.name,
  kind: (step) => step.kind,
  ord: (step) => or(step.order),
  run: (step) => step.run,
  memory_version: (step) => step.memoryVersion,
  at: (step) => or(step.at),
  duration_ms: (step) => or(step.durationMs),
  until: (step) => or(step.until),
  waits_on: (step) => or(step.on),
  ended_by: (step) => or(step.by),
  codec: (step) => or(step.body?.codec),
  body: (step) => or(step.body?.text),
  message_id: (step) => or(step.messageId),
}
const names = Object.keys(columns)
const values = Object.values(columns)
// Each has the length of all bodies up to it, so that nobody adds up a thousand of them.
const saveStep = `insert into errand_steps (${names.join(', ')}, characters)
  values (${marks(names.length)}, ? + coalesce((select characters from errand_steps where job_id = ? and ord = ?), 0))
  on conflict (job_id, name) do update set ${[...names, 'characters'].map((name) => `${name} = excluded.${name}`).join(', ')}`

const within = (column: string, most: number): string => `${column} = max(0, min(${column}, ${most}))`
const mendSteps = `update errand_steps set ${[
  ...['ord', 'run', 'memory_version', 'duration_ms'].map((column) => within(column, 2_147_483_647)),
  ...['at', 'until', 'characters'].map((column) => within(column, Number.MAX_SAFE_INTEGER)),
].join(', ')} where job_id = ?`

/** What jobs remember, and messages to them. */
export function memoryTables(
  sql: Statements,
): Pick<
  JobStore,
  | 'step'
  | 'stepTotals'
  | 'steps'
  | 'openWaits'
  | 'saveStep'
  | 'unread'
  | 'countUnread'
  | 'hasMessage'
  | 'addMessage'
  | 'takeMessage'
  | 'forget'
  | 'stateOf'
> {
  const steps = (rest: string, job: string, ...more: Value[]): StoredStep[] =>
    sql.all(`select * from errand_steps where job_id = ? ${rest}`, job, ...more).map((row) => storedStep(row))
  return {
    step: (job, name) => steps('and name = ?', job, name)[0],
    stepTotals(job) {
      const last = sql.one(
        `select ord, characters from errand_steps where job_id = ? and ord is not null order by ord desc limit 1`,
        job,
      )
      const open = sql.one('select count(*) as n from errand_steps where job_id = ? and ord is null', job)
      const [order, characters] = sound(job, () => [count(last?.ord ?? 0), count(last?.characters ?? 0)])
      return { steps: order + Number(open?.n), order, characters }
    },
    steps: (job) => steps('order by ord is null, ord, id', job),
    openWaits: (job) => steps('and ord is null order by id', job),
    saveStep(step) {
      sql.run(
        saveStep,
        ...values.map((value) => value(step)),
        step.body?.text.length ?? 0,
        step.job,
        (step.order ?? 0) - 1,
      )
    },

    unread(job, name, limit) {
      return sql
        .all(
          `select * from errand_messages where job_id = ? ${name === undefined ? '' : 'and name = ?'} order by seq limit ?`,
          job,
          ...(name === undefined ? [] : [name]),
          limit,
        )
        .map((row) => unreadMessage(row))
    },
    countUnread(job) {
      return Number(sql.one('select count(*) as n from errand_messages where job_id = ?', job)?.n)
    },
    hasMessage(job, id) {
      return (
        sql.one(
          `select 1 as one from errand_messages where job_id = ? and id = ?
           union all select 1 from errand_steps where job_id = ? and message_id = ?`,
          job,
          id,
          job,
          id,
        ) !== undefined
      )
    },
    addMessage({ job, id, name, payload, by }: NewMessage, at) {
      sql.run(
        `insert into errand_messages (job_id, id, name, sent_by, at, codec, body) values (${marks(7)})`,
        job,
        id,
        name,
        by,
        at,
        payload.codec,
        payload.text,
      )
    },
    takeMessage(job, id) {
      sql.run('delete from errand_messages where job_id = ? and id = ?', job, id)
    },

    forget(jobs) {
      for (const table of ['errand_steps', 'errand_messages'])
        sql.run(`delete from ${table} where job_id in (select value from json_each(?))`, JSON.stringify(jobs))
    },
    stateOf(job) {
      const row = sql.one('select state from errand_jobs where id = ?', job)
      return row && knownState(row.state)
    },
  }
}

/** Numbers of its steps, and times of its messages, that are out of bounds are moved to the nearest bound. */
export function mendMemory(sql: Statements, job: string): void {
  sql.run(mendSteps, job)
  sql.run(`update errand_messages set ${within('at', Number.MAX_SAFE_INTEGER)} where job_id = ?`, job)
}

/** @throws DamagedRow for a row that no rule can work with */
function sound<T>(job: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new DamagedRow(job, error)
  }
}

function storedStep(row: Row): StoredStep {
  return sound(String(row.job_id), () => ({
    name: String(row.name),
    kind: row.kind as StoredStep['kind'],
    order: optionalCount(row.ord),
    run: count(row.run),
    memoryVersion: count(row.memory_version),
    at: optionalCount(row.at),
    durationMs: optionalCount(row.duration_ms),
    until: optionalCount(row.until),
    on: optionalText(row.waits_on),
    by: (row.ended_by ?? undefined) as StoredStep['by'],
    body: encoded(row),
    messageId: optionalText(row.message_id),
  }))
}

function unreadMessage(row: Row): UnreadMessage {
  return sound(String(row.job_id), () => ({
    id: String(row.id),
    name: String(row.name),
    by: String(row.sent_by),
    at: count(row.at),
    payload: { codec: String(row.codec), text: String(row.body) },
  }))
}
