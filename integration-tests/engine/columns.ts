import { laneOfRank, laneRank } from '@errand/core/ports'
import type { JobRow, NewEvent } from '@errand/core/engine'
import { eventCode, stateCode, toStoredState, uniqueCode } from '../../packages/log-postgres/src/codes.ts'

/** Everything in these tests that knows a column of the log on PostgreSQL. `errand.` stands for its schema. */

/** A job with the row that it has while it lives, and the one that it has after its end. */
export interface JobColumns {
  readonly job: Columns
  readonly live: Columns | null
  readonly ended: Columns | null
  /** It was changed by a transaction with a later number than this one's. */
  readonly is_late: boolean
}
// oxlint-disable-next-line typescript/no-explicit-any -- JSON of a row: what is in it is said below
type Columns = Readonly<Record<string, any>>

export const selectJobs = `
  select to_jsonb(j) as job, to_jsonb(l) as live, to_jsonb(x) as ended,
         coalesce(not age(l.xmin) >= 0, not age(x.xmin) >= 0) as is_late
    from errand.known j
    left join errand.live l on l.id = j.id
    left join errand.ended x on x.id = j.id
   where j.id = any ($1::uuid[])`

/** Jobs of one ordering key that have not ended. */
export const selectLine = `select id from errand.live
  where queue = $1 and key = $2 and state <> ${stateCode.failed} order by seq limit $3`

/** Jobs that ended at a moment or before it. One that has failed and holds its key has no row there. */
export const selectFinished = `select id from errand.ended
  where state = any ($1) and at <= $2 order by at, id limit $3`

const parseTime = (value: string | null | undefined): number | undefined =>
  value == null ? undefined : Date.parse(value)

export function readRow({ job, live, ended }: JobColumns): JobRow {
  const either = live ?? ended
  const cancel = live?.['cancel'] ? (JSON.parse(`{${String(live['cancel'])}}`) as Record<string, string>) : {}
  return {
    id: job['id'],
    name: job['name'],
    sequence: job['seq'],
    orderingKey: job['key'] ?? undefined,
    onFailure: job['skips_on_failure'] ? 'skip' : 'block',
    uniqueKey: job['unique_key'] ?? undefined,
    uniqueUntil: job['unique_mode'] === uniqueCode.untilStarted ? 'started' : 'finished',
    uniqueForMs: job['unique_for_ms'] ?? undefined,
    flow: job['flow'] ?? undefined,
    mayFail: false,
    hasNeeds: false,
    needed: false,
    shareKey: job['share'] ?? undefined,
    turn: live?.['turn'] ?? undefined,
    tags: job['tags'] ?? [],
    maxAttempts: job['max_attempts'],
    maxCrashes: job['max_crashes'],
    onCrash: job['fails_on_crash'] ? 'fail' : 'retry',
    timeoutMs: job['timeout_ms'],
    dispatchedAt: Date.parse(job['dispatched_at']),
    limit: undefined,
    atLimit: false,
    expiresAt: parseTime(job['expires_at']),
    queue: (live ?? job)['queue'],
    lane: laneOfRank((live ?? job)['lane']),
    state: toStoredState(either?.['state']) as JobRow['state'],
    run: live?.['run'] ?? (ended ? (ended['run'] ?? 1) : 0),
    attempt: live?.['attempt'] ?? 0,
    crashes: live?.['crashes'] ?? 0,
    streak: live?.['streak'] ?? 0,
    version: either?.['version'] ?? 0,
    worker: live?.['worker'] ?? undefined,
    request: undefined,
    deadline: parseTime(live?.['deadline'] ?? undefined),
    runAt: parseTime(live?.['run_at'] ?? undefined),
    publishAfter: parseTime(live?.['publish_after'] ?? undefined),
    publishes: live?.['publishes'] ?? 0,
    cancelBy: cancel['by'],
    cancelReason: cancel['reason'],
    parkedSince: parseTime(live?.['parked_since'] ?? undefined),
    replays: job['replays'],
    resumedAt: parseTime(live?.['resumed_at']),
    finishedAt: parseTime(ended?.['at']),
    progress: undefined,
    progressMessage: undefined,
  }
}

const formatTime = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString()

/** The row of a job that lives. @param last the link of its newest event */
export function toLive(row: JobRow, last: number | undefined): Record<string, unknown> {
  const cancel = JSON.stringify({ by: row.cancelBy, reason: row.cancelReason }).slice(1, -1)
  const mode = row.uniqueUntil === 'started' ? uniqueCode.untilStarted : uniqueCode.untilFinished
  return {
    id: row.id,
    seq: row.sequence,
    timeout_ms: row.timeoutMs,
    run: row.run,
    unique_mode: row.uniqueKey === undefined ? uniqueCode.none : mode,
    fails_on_crash: row.onCrash === 'fail',
    skips_on_failure: row.onFailure === 'skip',
    name: row.name,
    // None is null, as the functions store it.
    tags: row.tags.length === 0 ? null : row.tags,
    key: row.orderingKey ?? null,
    share: row.shareKey ?? null,
    turn: row.turn ?? null,
    run_at: formatTime(row.runAt),
    resumed_at: formatTime(row.resumedAt),
    publish_after: formatTime(row.publishAfter),
    parked_since: formatTime(row.parkedSince),
    attempt: row.attempt,
    // None is null.
    crashes: row.crashes || null,
    streak: row.streak || null,
    version: row.version,
    replays: row.replays,
    publishes: row.publishes,
    lane: laneRank[row.lane],
    state: stateCode[row.state],
    held: row.state === 'ready' || row.state === 'running' ? null : stateCode[row.state],
    queue: row.queue,
    cancel: row.cancelBy === undefined ? null : cancel,
    last,
  }
}

/** The row of a job that has ended. */
export function toEnded(row: JobRow, last: number | undefined, at: number): Record<string, unknown> {
  const { id, sequence: seq, version, run } = row
  return {
    id,
    seq,
    at: formatTime(at),
    last,
    version,
    run,
    state: stateCode[row.state],
    shares: row.shareKey === undefined ? null : true,
  }
}

/** What operators change of a job that lives. */
const changing =
  'run_at, resumed_at, publish_after, parked_since, attempt, crashes, streak, version, publishes, turn, lane, state, held, queue, cancel, last'
const liveColumns = `id, seq, timeout_ms, run, unique_mode, fails_on_crash, skips_on_failure, name, tags, key, share, ${changing}`

/** $1: rows of `toLive`. */
export const writeLive = `
  with rows as (select * from json_populate_recordset(null::errand.live, $1)),
  gone as (delete from errand.ended x using rows where x.id = rows.id)
  insert into errand.live (${liveColumns}) select ${liveColumns} from rows
  on conflict (id) do update set (${changing}) = row (${changing.replaceAll(/\w+/g, 'excluded.$&')})`

/** $1: rows of `toEnded`. */
export const writeEnded = `
  with rows as (select * from json_populate_recordset(null::errand.ended, $1)),
  gone as (delete from errand.live l using rows where l.id = rows.id)
  insert into errand.ended select * from rows`

/** What operators change of the part of a job that stays. $1: rows of `toLive`. */
export const writeJobs = `
  update errand.jobs j set queue = c.queue, lane = c.lane, replays = c.replays
    from json_populate_recordset(null::errand.jobs, $1) c where j.seq = c.seq`

export const nextLinks = `select nextval('errand.events_seq')::bigint as link from generate_series(1, $1)`

/** Its time is that of the insert, because the transaction may have waited. @param before the link of the job's previous event */
export function toEvent(event: NewEvent, link: number, before: number): Record<string, unknown> {
  const { runAt, ...data } = event.data
  return {
    seq: link,
    link,
    run_at: formatTime(runAt),
    version: event.version,
    run: event.run,
    attempt: event.attempt,
    type: eventCode[event.type],
    state: stateCode[event.state],
    name: event.name,
    queue: event.queue,
    tags: event.tags,
    data: JSON.stringify(data),
    jobs: [event.jobId],
    befores: [before],
  }
}

const eventColumns =
  'seq, link, run_at, version, run, attempt, type, state, name, queue, tags, data, jobs, befores'

/** $1: rows of `toEvent`. */
export const writeEvents = `
  insert into errand.events (${eventColumns})
  select ${eventColumns} from json_populate_recordset(null::errand.events, $1)`

/**
 * Every table that operators change, for a comparison with a twin. Left out are links, which also count failed tries, the
 * publishing times of running jobs, and keys that were freed and are still stored.
 */
export const dump = `
  select (select json_agg(j order by j.id) from errand.jobs j) as jobs,
         (select json_agg(to_jsonb(l) - '{last,before}'::text[]
                   || jsonb_build_object('tags', coalesce(l.tags, '{}'), 'publish_after', case when l.state = ${stateCode.ready} then l.publish_after end)
                   order by l.id) from errand.live l) as live,
         (select json_agg(to_jsonb(x) - 'last' order by x.id) from errand.ended x) as ended,
         (select json_agg(to_jsonb(s) - 'ord' order by s.job_id, s.ord) from errand.steps s) as steps,
         (select json_agg(to_jsonb(m) - 'seq' order by m.job_id, m.seq) from errand.messages m) as messages,
         (select json_agg(k order by k.queue, k.key) from errand.keys k) as keys,
         (select json_agg(n order by n.id) from errand.key_notes n) as notes,
         (select json_agg(u order by u.name, u.key) from errand.unique_keys u
           where u.free_at is null or u.free_at > errand.clock()) as uniques`
