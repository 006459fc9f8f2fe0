/** One step of the schema. A released step never changes; new steps are appended. */
export interface Migration {
  readonly version: number
  /** The oldest schema version whose code may still use the log after this step (expand, then contract). */
  readonly oldestCode: number
  readonly statements: readonly string[]
}

/** The newest schema version that this code knows. */
export const schemaVersion = 1

// The row that changes is narrow, because SQLite writes the whole row at every update. So payloads are in a table of
// their own.
const jobs = `create table errand_jobs (
  sequence integer primary key autoincrement,
  id text not null unique,
  name text not null,
  queue text not null,
  lane integer not null,
  state text not null,
  run integer not null,
  attempt integer not null,
  crashes integer not null,
  streak integer not null,
  version integer not null,
  worker text,
  request text,
  deadline integer,
  run_at integer,
  publish_after integer,
  publishes integer not null,
  cancel_by text,
  cancel_reason text,
  parked_since integer,
  replays integer not null,
  finished_at integer,
  resumed_at integer,
  progress real,
  progress_message text,
  max_attempts integer not null,
  max_crashes integer not null,
  on_crash text not null,
  timeout_ms integer,
  ordering_key text,
  on_failure text not null,
  unique_key text,
  unique_until text not null,
  unique_for_ms integer,
  share_key text,
  turn integer,
  tags text not null,
  dispatched_at integer not null,
  expires_at integer,
  parent_id text,
  limit_name text,
  limit_key text,
  at_limit integer,
  flow text,
  may_fail integer,
  has_needs integer,
  needed integer
) strict`

const payloads = `create table errand_payloads (
  sequence integer primary key,
  payload_version integer not null,
  codec text not null,
  payload text not null,
  meta text not null
) strict`

const events = `create table errand_events (
  position integer primary key autoincrement,
  job_id text not null,
  version integer not null,
  type text not null,
  state text not null,
  name text not null,
  queue text not null,
  tags text not null,
  at integer not null,
  run integer not null,
  attempt integer not null,
  worker text,
  data text not null,
  codec text,
  body text
) strict`

export const migrations: readonly Migration[] = [
  {
    version: 1,
    oldestCode: 1,
    statements: [
      jobs,
      `create index errand_jobs_ready on errand_jobs (queue, lane, sequence) where state = 'ready'`,
      // A job has a turn while it is ready or runs.
      `create index errand_jobs_turns on errand_jobs (queue, lane, turn, sequence) where turn is not null`,
      `create index errand_jobs_shares on errand_jobs (queue, lane, share_key, turn) where turn is not null`,
      `create index errand_jobs_unpublished on errand_jobs (queue, publish_after) where state = 'ready'`,
      // Scheduled jobs, and suspended ones that wait for a time.
      `create index errand_jobs_due on errand_jobs (run_at) where run_at is not null`,
      `create index errand_jobs_running on errand_jobs (worker) where state = 'running'`,
      `create index errand_jobs_key on errand_jobs (queue, ordering_key, sequence)
        where ordering_key is not null and state in ('scheduled', 'blocked', 'ready', 'running', 'suspended')`,
      // `finished_at` implies these states. With states as parameters, SQLite could not use the index.
      `create index errand_jobs_finished on errand_jobs (state, finished_at) where finished_at is not null`,
      // For operators. With `in`, SQLite could not use the index. A job that is ready at once and succeeds has no entry.
      `create index errand_jobs_held on errand_jobs (state, queue, sequence)
        where state = 'scheduled' or state = 'blocked' or state = 'suspended' or state = 'failed' or state = 'cancelled'`,
      `create index errand_jobs_places on errand_jobs (limit_name, limit_key, state)
        where limit_name is not null and state in ('ready', 'running')`,
      `create index errand_jobs_at_limit on errand_jobs (limit_name, limit_key, lane, sequence) where at_limit = 1`,
      payloads,
      events,
      `create index errand_events_job on errand_events (job_id, version)`,
      `create table errand_keys (queue text not null, key text not null, holder text not null,
        primary key (queue, key)) strict, without rowid`,
      `create table errand_unique_keys (name text not null, key text not null, job_id text not null, free_at integer,
        primary key (name, key)) strict, without rowid`,
      `create table errand_workers (id text primary key, host text not null, pid integer not null, label text,
        lease_ms integer not null, started_at integer not null, queues text not null, taking integer not null,
        why text, drivers text not null, slots text, last_seen integer not null, lease_until integer not null, stop integer not null) strict, without rowid`,
      `create table errand_queues (name text primary key, paused_by text, concurrency integer, limited_by text) strict, without rowid`,
      // What the log need not know of a schedule is JSON of core's, in its body.
      `create table errand_schedules (name text primary key, revision integer not null, due_at integer, job text not null,
        is_declared integer not null, declared_by text, body text not null) strict`,
      `create index errand_schedules_due on errand_schedules (due_at) where due_at is not null`,
      // As for schedules. The values, and who has closed it until when, are JSON.
      `create table errand_limits (name text primary key, revision integer not null, limits text, body text not null,
        turn integer not null, tat real, admit_at real, closed text) strict`,
      `create index errand_limits_due on errand_limits (admit_at) where admit_at is not null`,
      `create table errand_limit_keys (name text not null, key text not null, turn integer not null, waits integer not null,
        tat real, admit_at real, closed text, primary key (name, key)) strict`,
      `create index errand_limit_keys_line on errand_limit_keys (name, waits desc, turn)`,
      `create index errand_limit_keys_due on errand_limit_keys (admit_at) where admit_at is not null`,
      // What jobs need, flows with their members, and what is left for later. The rules of a flow are JSON.
      `create table errand_needs (child text not null, place integer not null, parent text not null, is_flow integer not null,
        mode text not null, name text, state text, codec text, body text, primary key (child, place)) strict, without rowid`,
      `create index errand_needs_parent on errand_needs (parent, state)`,
      `create table errand_flows (sequence integer primary key autoincrement, id text not null unique, name text, flow text,
        dispatched_at integer not null, state text not null, version integer not null, ended_at integer, total integer not null,
        succeeded integer not null, failed integer not null, cancelled integer not null, forgiven integer not null,
        rules text not null) strict`,
      `create index errand_flows_ended on errand_flows (ended_at) where ended_at is not null and flow is null`,
      `create table errand_members (flow text not null, place integer not null, member text not null, is_flow integer not null,
        primary key (flow, place)) strict, without rowid`,
      `create table errand_work (id integer primary key autoincrement, work text not null) strict`,
      // Steps, and waits: `ord` is null until they are over. With the length of all bodies up to each.
      `create table errand_steps (id integer primary key, job_id text not null, name text not null, kind text not null, ord integer,
        run integer not null, memory_version integer not null, at integer, duration_ms integer, until integer, waits_on text,
        ended_by text, codec text, body text, message_id text, characters integer not null, unique (job_id, name)) strict`,
      `create index errand_steps_order on errand_steps (job_id, ord, characters)`,
      `create index errand_steps_messages on errand_steps (job_id, message_id) where message_id is not null`,
      `create table errand_messages (seq integer primary key autoincrement, job_id text not null, id text not null, name text not null,
        sent_by text not null, at integer not null, codec text not null, body text not null, unique (job_id, id)) strict`,
      `create table errand_log (one integer primary key check (one = 1), log_id text not null, epoch integer not null,
        schema_version integer not null, oldest_code integer not null, last_sweep_at integer, hold_until integer,
        pruned_through integer not null, transfer text) strict`,
      `insert into errand_log values (1, lower(hex(randomblob(4))), 1, 0, 0, null, null, 0, null)`,
    ],
  },
]
