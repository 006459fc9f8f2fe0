-- Four kinds of rows. `jobs` is written once. `live` is what claims and sweeps read: one narrow row per unfinished
-- job, deleted when it ends; only a failed job that still holds its ordering key stays. `ended` has a row for each of the
-- others. `events` is only added to, and leaves by whole days.

-- The log's clock: every time that decides anything is read from it.
create function errand.clock() returns timestamptz language sql volatile parallel safe return clock_timestamp();
-- Not strict, so that it becomes a part of each statement that uses it: as a call it would cost as much as all else of a row.
create function errand.ms(at timestamptz) returns bigint language sql stable parallel safe
  return case when at >= '275000-01-01' then 8640000000000000 when at <= '0001-01-01' then -62135596800000
              else (date_part('epoch', at) * 1000000)::bigint / 1000 end;

-- The line of this server's history; null on a standby, which cannot tell.
create function errand.timeline() returns integer language sql volatile
  return case when not pg_is_in_recovery()
              then ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end;
-- No commit that can be seen was written after this place of it.
create function errand.written() returns numeric language sql volatile
  return (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
               when current_setting('synchronous_commit') = 'off' then pg_current_wal_insert_lsn()
               else pg_current_wal_flush_lsn() end) - '0/0'::pg_lsn;

create table errand.meta (
  one boolean primary key default true check (one),
  log_id text not null,
  epoch integer not null default 1,
  timeline integer not null,
  -- The newest position of the events that were dropped: a cursor before it would skip them.
  dropped_tx xid8 not null default '0',
  dropped_seq bigint not null default 0,
  -- Where the driver has moved: JSON, without its revision.
  transfer text,
  transfer_revision integer not null default 0
);
insert into errand.meta (log_id, timeline) values (left(replace(gen_random_uuid()::text, '-', ''), 10), errand.timeline());

-- What each epoch has in common with the one before: all that was written by this place, and all transactions before this
-- number. Null: nothing is known to be.
create table errand.epochs (
  epoch integer primary key,
  common_written numeric,
  common_tx xid8,
  noted_at timestamptz not null default errand.clock()
);

create sequence errand.jobs_seq;
-- Found by its id through `live` or `ended`, which have each job's id and sequence: one of them, always.
create table errand.jobs (
  seq bigint primary key,
  id uuid not null,
  dispatched_at timestamptz not null,
  -- Set where its events may be older than that: it was replayed by a clock that had been set back.
  events_since timestamptz,
  expires_at timestamptz,
  timeout_ms bigint,
  unique_for_ms bigint,
  payload_version integer not null,
  max_attempts integer not null,
  max_crashes integer not null,
  replays integer not null default 0,
  lane smallint not null,
  fails_on_crash boolean not null,
  skips_on_failure boolean not null,
  unique_mode smallint not null,
  name text not null,
  queue text not null,
  key text,
  unique_key text,
  share text,
  -- Its limit, and the key of it; the key is empty for a limit without keys.
  lim text,
  lim_key text,
  parent_id text,
  -- The flow that it is a member of, and whether it counts there if it fails (null: it does).
  flow uuid,
  may_fail boolean,
  tags text[],
  meta text,
  codec text not null,
  payload text not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- What a claim changes stands at the end: then the log of the database has to say no more than that.
create table errand.live (
  id uuid primary key,
  seq bigint not null,
  run_at timestamptz,
  -- When a ticket is to be published that a ready job may lack; a job that runs keeps the time.
  publish_after timestamptz,
  parked_since timestamptz,
  -- When it went on after its last suspension.
  resumed_at timestamptz,
  timeout_ms bigint,
  -- Null: none.
  crashes integer,
  streak integer,
  publishes smallint not null default 0,
  lane smallint not null,
  unique_mode smallint not null,
  fails_on_crash boolean not null,
  skips_on_failure boolean not null,
  -- What the indexes below know of the state: 1 (scheduled), 2 (blocked), 6 (failed) or 8 (suspended); null: ready or running. A claim
  -- does not change it, so that it writes a row and no entry of an index. Each rule writes it with the state: a generated column would
  -- be parsed again by each statement, which is a twentieth of what a request for one job costs.
  held smallint,
  queue text not null,
  name text not null,
  tags text[],
  key text,
  -- Its key among the jobs that take turns, and its turn while it is ready or runs.
  share text,
  turn bigint,
  lim text,
  lim_key text,
  -- True: it is blocked because of its limit; null otherwise.
  at_limit boolean,
  -- True: it was dispatched with needs; others need it. Null otherwise.
  has_needs boolean,
  needed boolean,
  -- The flow that counts its end; as in jobs.
  flow uuid,
  may_fail boolean,
  -- Who asked for its end while it runs, and why: members of a JSON object.
  cancel text,
  -- The link of its newest event, and of the one before, where that event is shared.
  last bigint not null,
  before bigint,
  deadline timestamptz,
  version integer not null default 1,
  run integer not null default 0,
  attempt integer not null default 0,
  state smallint not null,
  worker text
) with (
  -- Each page has room for the claims of its rows.
  fillfactor = 45,
  -- Its end is needed again in a moment, and cutting it off locks everybody out.
  vacuum_truncate = off,
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_analyze_threshold = 1000
);
-- Who takes jobs passes those over that run.
create index live_ready on errand.live (queue, lane, seq) where held is null;
-- Of jobs that take turns: who is next, and which turn of a key is the newest.
create index live_turns on errand.live (queue, lane, turn, seq) where turn is not null and held is null;
create index live_shares on errand.live (queue, lane, share, turn) where turn is not null and held is null;
create index live_due on errand.live (run_at) where run_at is not null;
create index live_keys on errand.live (queue, key, seq) where key is not null;
-- For operators. A job that is never put off, and waits for no key, has no entry.
create index live_held on errand.live (held, queue, seq) where held is not null;

-- Jobs of a limit that are ready or running, and those that wait.
create index live_places on errand.live (lim, lim_key) where lim is not null and held is null;
create index live_at_limit on errand.live (lim, lim_key, lane, seq) where at_limit;

-- What a worker was granted by one statement. Only added and deleted: who sees a row sees its claims. Those that have ended
-- meanwhile are taken out by the worker's next heartbeat.
create table errand.grants (
  worker text not null,
  request text not null,
  -- Of its first run.
  deadline timestamptz,
  jobs uuid[] not null,
  runs integer[] not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index grants_worker on errand.grants (worker, request);
alter table errand.grants replica identity full;
alter table errand.grants alter jobs set storage main, alter runs set storage main;
-- The runs that are under way, each with the grant that it is of; also with an older one of the same worker that names its job.
create view errand.runs as
  select g.ctid as place, g.worker, g.request, g.deadline as first_deadline, u.run as granted_run, l.id, l.run, l.deadline,
         l.cancel
    from errand.grants g
   cross join lateral unnest(g.jobs, g.runs) as u (id, run)
   cross join lateral (
     select l.id, l.run, l.deadline, l.cancel from errand.live l
      where l.id = any (array[u.id]) and l.worker = g.worker and l.state = 4 /* running */
      -- From the grant to the job, never the other way.
      offset 0) l;

-- One row per job that has ended: where its history ends, and what a replay needs to know. Its row in `live` has gone.
create table errand.ended (
  id uuid primary key,
  seq bigint not null,
  at timestamptz not null,
  last bigint not null,
  version integer not null,
  -- Null: 1, as of most jobs.
  run integer,
  state smallint not null,
  -- Whether it took turns. Null: it did not.
  shares boolean
);
-- For operators. A job that has succeeded has no entry.
create index ended_otherwise on errand.ended (state, seq) where state <> 5 /* succeeded */;

-- For operators as well: the ranges of 128 sequences in which a job has succeeded. So a list of these jobs passes over the
-- others a range at a time, and a plain job adds a row only if it is the first of its range.
create function errand.range_start(p_seq bigint) returns bigint language sql immutable parallel safe return p_seq & -128;
-- The first sequence behind it.
create function errand.range_end(p_start bigint) returns bigint language sql immutable parallel safe return p_start + 128;
create table errand.succeeded_ranges (
  -- Not unique: two transactions may add the same at a time, and neither waits.
  start bigint not null,
  -- No job of it was left. A success in it adds another row, because this one may go at any moment.
  leaving boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index succeeded_ranges_start on errand.succeeded_ranges (start);
create index succeeded_ranges_leaving on errand.succeeded_ranges (start) where leaving;
alter table errand.succeeded_ranges replica identity full;

-- Jobs by their ids.
create view errand.known as
  select k.id, k.seq, j.dispatched_at, j.events_since, j.expires_at, j.timeout_ms, j.unique_for_ms, j.payload_version,
         j.max_attempts, j.max_crashes, j.replays, j.lane, j.fails_on_crash, j.skips_on_failure, j.unique_mode, j.name,
         j.queue, j.key, j.unique_key, j.share, j.lim, j.lim_key, j.parent_id, j.flow, j.may_fail, j.tags, j.meta, j.codec,
         j.payload, k.ended_as
    from (select l.id, l.seq, null::smallint as ended_as from errand.live l
          union all select x.id, x.seq, x.state from errand.ended x) k
   -- From the id to the job, never the other way.
   cross join lateral (select * from errand.jobs j where j.seq = any (array[k.seq]) offset 0) j;

-- A sequence of its own, cached per connection: it orders the events of one transaction, which has one connection.
create sequence errand.events_seq cache 100;
-- One row tells the event of all jobs that a statement has changed alike; what differs gets a row of its own. The arrays
-- have a place for each job, and are null where none of the jobs has such a thing. Links and times that are the same for all
-- stand there once.
create table errand.events (
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('errand.events_seq'),
  -- By this a job's row in `live` or `ended`, and its next event, point here. Several rows of one statement may have it.
  link bigint not null,
  at timestamptz not null default errand.clock(),
  run_at timestamptz,
  version integer not null,
  run integer not null,
  attempt integer not null,
  type smallint not null,
  state smallint not null,
  name text not null,
  queue text not null,
  worker text,
  tags text[],
  data text,
  codec text,
  jobs uuid[] not null,
  -- The link of the event before, of each job.
  befores bigint[],
  durations_ms bigint[],
  bodies text[]
) partition by range (at);
create index events_order on errand.events (tx, seq);
create index events_link on errand.events (link);
create index events_final on errand.events (type, at, seq)
  where type in (6 /* succeeded event */, 12 /* failed event */, 14 /* cancelled event */, 16 /* skipped event */);
-- Within the row, as far as a page holds them.
alter table errand.events alter jobs set storage main, alter befores set storage main;
create table errand.events_default partition of errand.events default;
-- Without a key of their own, rows of a table that somebody publishes could not be deleted. It costs an insert nothing.
alter table errand.events replica identity full;
alter table errand.events_default replica identity full;
-- The events one by one, for readers.
create view errand.job_events as
  select e.tx, e.seq, p.place::integer, p.job_id, e.at, e.run_at, e.version, e.run, e.attempt, e.type, e.state, e.name,
         e.queue, e.worker, e.tags,
         coalesce('{"durationMs":' || e.durations_ms[least(p.place, cardinality(e.durations_ms))] || '}', e.data) as data,
         e.codec, p.body
    from errand.events e
   cross join lateral unnest(e.jobs, e.bodies) with ordinality as p (job_id, body, place);

create table errand.progress (
  job_id uuid primary key,
  value double precision not null,
  message text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- What jobs remember: the results of their steps, and what they wait for or have waited for. A plain job has no row here.
create sequence errand.steps_seq;
create table errand.steps (
  job_id uuid not null,
  name text not null,
  -- Grows in the order in which they are over; of those that wait, in which they have begun.
  ord bigint not null default nextval('errand.steps_seq'),
  -- Null: it waits.
  done_at timestamptz,
  until timestamptz,
  message_id uuid,
  duration_ms bigint,
  run integer not null,
  memory_version integer not null,
  -- Characters of its body, so that nobody has to read that to add them up.
  size integer not null default 0,
  kind smallint not null,
  -- What ended the wait: time, a message, or the state of what it called.
  ended_by smallint,
  -- The name of the message, or the id of what it calls.
  called text,
  codec text,
  body text,
  primary key (job_id, name)
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Messages to jobs. One that a wait has taken stays until its job goes, without its text: another one with its id is no new one.
create table errand.messages (
  job_id uuid not null,
  id uuid not null,
  -- Of the same sequence as the order of steps.
  seq bigint not null,
  at timestamptz not null,
  taken boolean not null default false,
  name text not null,
  sent_by text not null,
  codec text,
  body text,
  primary key (job_id, id)
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Jobs whose messages are to be looked at, because their row was locked. No unique index: a note never waits for another one.
create table errand.message_notes (
  id bigint generated always as identity primary key,
  job_id uuid not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

create table errand.keys (
  queue text not null,
  key text not null,
  holder uuid not null,
  primary key (queue, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
-- Keys whose row was locked when their holder ended. No unique index: a note never waits for another one.
create table errand.key_notes (
  id bigint generated always as identity primary key,
  queue text not null,
  key text not null
);

-- Who needs what: a child is a job, and a parent a job or a flow. Whoever ends the parent writes how it has ended; until then that is
-- null. There is no counter: who looks at a child has locked its row, and asks in a later statement for what is left.
create table errand.needs (
  child uuid not null,
  -- Its place among the needs of the child.
  ord integer not null,
  parent uuid not null,
  is_flow boolean not null,
  -- How it must end: 1 succeeded, 2 ended, 3 unsuccessful, 4 called (the child is suspended until then).
  mode smallint not null,
  done smallint,
  name text,
  -- If it has a name and is a job: its result or its error, bound to that job.
  codec text,
  body text,
  primary key (child, ord)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index needs_parent on errand.needs (parent, child);
-- Jobs that read the results of the members of a flow.
create index needs_results on errand.needs (parent) where is_flow and name is not null;

create sequence errand.flows_seq;
create table errand.flows (
  id uuid primary key,
  seq bigint not null default nextval('errand.flows_seq'),
  -- The flow that it is a member of; as in jobs.
  flow uuid,
  may_fail boolean,
  dispatched_at timestamptz not null,
  ended_at timestamptz,
  -- So many may fail. Null: any number.
  allowed integer,
  -- Whether the rest is cancelled once more have failed.
  stops boolean not null,
  name text,
  tags text[],
  meta text,
  -- Who asked for its end, and why: members of a JSON object.
  cancel text,
  -- The link of its newest event.
  last bigint not null,
  version integer not null default 1,
  total integer not null default 0,
  succeeded integer not null default 0,
  failed integer not null default 0,
  cancelled integer not null default 0,
  forgiven integer not null default 0,
  -- 4: it runs.
  state smallint not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create unique index flows_order on errand.flows (seq);
create index flows_state on errand.flows (state, seq);
create index flows_ended on errand.flows (ended_at) where ended_at is not null and flow is null;
create index flows_inner on errand.flows (flow) where flow is not null;

-- The members of flows, many in a row: jobs, and inner flows.
create sequence errand.members_seq;
create table errand.members (
  flow uuid not null,
  -- The place of the first one. Those that were added later begin behind all places that the first call can have given.
  start bigint not null,
  ids uuid[] not null,
  primary key (flow, start)
);
alter table errand.members alter ids set storage main;

-- What is to be looked at again, because a row was locked or because it was much. No unique index, as with key_notes.
create table errand.work_notes (
  id bigint generated always as identity primary key,
  -- Not before this: what met a lock often must not delay the others.
  at timestamptz not null default errand.clock(),
  tries smallint not null default 0,
  -- 1 a job; 2 those that need something that has ended; 3 the counts of a flow; 4 the members of a flow that is cancelled; 5 one of them; 6 what a
  -- cancelled job has called.
  kind smallint not null,
  target uuid not null,
  -- 2: from this child on. 5: that member. 6: that job.
  other uuid,
  -- 4: members behind this place.
  place bigint,
  -- 3: what is added.
  total integer,
  succeeded integer,
  failed integer,
  cancelled integer,
  forgiven integer
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index work_notes_at on errand.work_notes (at) where kind <> 3 /* count note */;
-- Only who has locked the row of a flow takes away its counts.
create index work_notes_counts on errand.work_notes (target) where kind = 3 /* count note */;

create table errand.unique_keys (
  name text not null,
  key text not null,
  job_id uuid not null,
  free_at timestamptz,
  primary key (name, key)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index unique_keys_free on errand.unique_keys (free_at) where free_at is not null;

create table errand.workers (
  id text primary key,
  host text not null,
  pid integer not null,
  label text,
  lease_ms bigint not null,
  queues text[] not null,
  taking boolean not null,
  why text,
  -- Places of the drivers that it serves.
  drivers text[] not null default '{}',
  -- How many jobs of each of its queues it runs at a time; empty if it has not said.
  slots integer[] not null default '{}',
  stop boolean not null default false,
  started_at timestamptz not null,
  last_seen timestamptz not null,
  lease_until timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100);

create table errand.paused_queues (
  name text primary key,
  paused_by text not null,
  paused_at timestamptz not null,
  reason text
);

-- How many jobs of a queue may run at a time. Who grants such jobs locks its row first, and counts in a later statement.
create table errand.limited_queues (
  name text primary key,
  concurrency integer not null,
  limited_by text not null,
  limited_at timestamptz not null,
  reason text
);

-- What must be known to find a schedule that is due. All else is JSON that the clients write and read.
create table errand.schedules (
  name text primary key,
  revision integer not null,
  -- When there is something to do for it. Null: not until it is changed.
  due_at timestamptz,
  job text not null,
  -- Ticked only by workers whose code declares it; false: by all that know its job.
  declared boolean not null,
  -- The worker that declared it last.
  declared_by text,
  body text not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index schedules_due on errand.schedules (due_at) where due_at is not null;

create table errand.limits (
  name text primary key,
  revision integer not null default 0,
  -- False: jobs wait for it, and no worker has declared it.
  declared boolean not null default false,
  total integer,
  per_key integer,
  rate_ms double precision,
  burst integer,
  key_rate_ms double precision,
  key_burst integer,
  -- The number of the last turn.
  turn bigint not null default 0,
  -- When all tokens of its rate are there again.
  tat timestamptz,
  -- When it may let go more. Null: as soon as one of its jobs has ended.
  admit_at timestamptz,
  closed_until timestamptz,
  closed_by text,
  closed_reason text,
  -- JSON that the clients write and read.
  body text not null default '{}'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100);
-- The keys that have jobs, are closed, or whose tokens are not all there.
create table errand.limit_keys (
  name text not null,
  key text not null,
  -- When it was let go last: those with lower numbers go first.
  turn bigint not null,
  -- It has jobs that wait, and is not known to be full, closed or without a token.
  waits boolean not null,
  -- As in limits.
  tat timestamptz,
  admit_at timestamptz,
  closed_until timestamptz,
  closed_by text,
  closed_reason text,
  primary key (name, key)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index limit_keys_line on errand.limit_keys (name, turn) where waits;
create index limit_keys_due on errand.limit_keys (admit_at) where admit_at is not null;
-- Limits to look at again, because their row was locked. No unique index, as with key_notes.
create table errand.limit_notes (
  id bigint generated always as identity primary key,
  lim text not null,
  lim_key text
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

create table errand.sweeps (
  one boolean primary key default true check (one),
  last_at timestamptz,
  -- Nothing is called lost before this.
  hold_until timestamptz,
  -- Partitions of events exist for the days up to this one.
  partitions_until date not null default '-infinity',
  -- All transactions before this one had ended when the row was written: who has the row has them, too.
  common_tx xid8,
  -- How often the clock was seen to have gone back, and the earliest time that it can have given since.
  backs integer not null default 0,
  back_to timestamptz not null default 'infinity'
) with (fillfactor = 50);
insert into errand.sweeps default values;

-- How far finished jobs were looked at for pruning, so that it does not begin with the dead every time.
create table errand.prunes (
  type smallint primary key,
  looked_until timestamptz not null default '-infinity',
  looked_at timestamptz not null default '-infinity',
  -- Transactions whose events could not be seen yet, and how far the first of them has been looked at since it was over.
  open xid8[] not null default '{}',
  late_seq bigint not null default 0,
  -- Within the events of one moment, and within the jobs of one event.
  looked_seq bigint not null default 9223372036854775807,
  looked_place integer not null default 0,
  late_place integer not null default 0,
  -- As in sweeps, when it was last looked at.
  backs integer not null default 0
) with (fillfactor = 50);

-- Ended jobs that prune could not delete, because a table of the application refers to them. Its place goes on behind them.
create table errand.unpruned (
  job_id uuid primary key,
  -- As in prunes.
  type smallint not null,
  -- When the job ended.
  at timestamptz not null,
  try_at timestamptz not null,
  -- What kept it.
  constraint_name text not null
);
create index unpruned_due on errand.unpruned (type, try_at);
-- Ended jobs that prune has passed over, because a job that has not ended needs them. It looks at them first.
create table errand.kept (
  job_id uuid primary key,
  -- As in unpruned.
  type smallint not null,
  at timestamptz not null,
  looked_at timestamptz not null
);
create index kept_looked on errand.kept (type, looked_at);
-- Results and errors of members that a job is still to read, of days whose events were dropped.
create table errand.kept_ends (
  job_id uuid primary key,
  codec text,
  body text
);
