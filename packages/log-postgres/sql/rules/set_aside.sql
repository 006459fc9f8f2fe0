-- A row may hold values that no rule can work with, because other SQL or an older version wrote it. A statement that works on
-- many rows fails because of one such row. Then its caller calls a function of this file, and repeats the statement. This is
-- never on a hot path.

-- Fails a job, whatever its row holds. If it holds its ordering key and its policy blocks the key, it keeps the key.
create function errand.set_aside(p_id uuid, p_why text) returns void language plpgsql
set search_path to pg_catalog, pg_temp as $$
declare
  v_now timestamptz := errand.clock();
  v_live errand.live;
  v_link bigint;
  v_version integer;
  v_run integer;
  v_attempt integer;
begin
  select l.* into v_live from errand.live l where l.id = p_id and age(l.xmin) >= 0 for update;
  if not found or v_live.state = 6 /* failed */ then return; end if;
  v_link := nextval('errand.events_seq');
  v_version := least(greatest(v_live.version, 0), 2147483000) + 1;
  v_run := least(greatest(v_live.run, 0), 2147483000);
  v_attempt := least(greatest(v_live.attempt, 0), 2147483000);
  if v_live.key is not null and not v_live.skips_on_failure
    and exists (select from errand.keys k where k.queue = v_live.queue and k.key = v_live.key and k.holder = p_id)
  then
    update errand.live l
       set state = 6 /* failed */, held = 6 /* failed */, at_limit = null, last = v_link, version = v_version, run = v_run,
           attempt = v_attempt, crashes = null, streak = null, publishes = 0,
           timeout_ms = case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end,
           run_at = null, publish_after = null, parked_since = null, turn = null,
           worker = null, deadline = null
     where l.id = p_id;
  else
    delete from errand.live l where l.id = p_id;
    insert into errand.ended (id, seq, at, last, version, run, state, shares)
    values (p_id, v_live.seq, v_now, v_link, v_version, v_run, 6 /* failed */, nullif(v_live.share is not null, false));
    if v_live.key is not null then
      insert into errand.key_notes (queue, key) values (v_live.queue, v_live.key);
    end if;
  end if;
  if v_live.needed then insert into errand.work_notes (kind, target) values (2 /* ended note */, p_id); end if;
  if v_live.flow is not null then
    insert into errand.work_notes (kind, target, failed, forgiven)
    values (3 /* count note */, v_live.flow, 1, coalesce(v_live.may_fail, false)::integer);
  end if;
  if v_live.lim is not null then
    insert into errand.limit_notes (lim, lim_key) values (v_live.lim, v_live.lim_key);
  end if;
  delete from errand.unique_keys u using errand.known j
   where j.id = p_id and u.name = j.name and u.key = j.unique_key and u.job_id = p_id;
  insert into errand.events (
    seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, data, codec, bodies)
  values (v_link, v_link, v_now, array[p_id], array[v_live.last], v_version, 12 /* failed event */, 6 /* failed */,
          v_live.name, v_live.queue, v_live.tags, v_run, v_attempt, '{"cause":"error"}', 'json',
          array[json_build_object('name', 'ErrandError',
            'message', 'its row in the job log cannot be worked with: ' || left(p_why, 1000))::text]);
end $$;

-- Grants this job, also if it is the turn of another one.
create function errand.grant_trial(p_id uuid, p_now timestamptz, p_worker text, p_grace_ms bigint) returns void
language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
  v_rows tid[] := array(
    select l.ctid from errand.live l
     where l.id = p_id and l.state = 3 /* ready */ and age(l.xmin) >= 0 for update skip locked);
begin
  if v_rows = '{}' then return; end if;
  v_rows := errand.grant_rows(v_rows, p_now, p_worker, 'trial', p_grace_ms, '{}');
  -- Its text, so that every column is read.
  perform c::text from errand.granted_jobs(p_now) c where c.place = any (v_rows);
  perform errand.free_unique(array[p_id], true) from errand.live l where l.id = p_id and l.unique_mode = 2 /* until started */;
end $$;

/*
 * Tries one rule on a job and undoes it. If the row does not allow it, sets the job aside and answers which, and why.
 * `claim` needs the worker and its grace.
 */
create function errand.try_or_set_aside(
  p_id uuid, p_rule text, p_worker text default null, p_grace_ms bigint default null
) returns table (job_id uuid, job_name text, why text) language plpgsql set search_path to pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
begin
  case p_rule
    when 'claim' then perform errand.grant_trial(p_id, v_now, p_worker, p_grace_ms);
    when 'due' then perform errand.sweep_due(1, v_now, array[p_id]);
    when 'message' then perform errand.receive(array[p_id], v_now);
    when 'lost' then perform errand.sweep_lost(1, v_now, array[p_id]);
    when 'key' then
      perform errand.pass_keys(array[l.queue], array[l.key], v_now) from errand.live l where l.id = p_id;
    when 'unblock' then
      with woken as (
        update errand.live l
           set state = 3 /* ready */, held = null, version = l.version + 1, publish_after = v_now, publishes = 0,
               before = l.last, last = nextval('errand.events_seq')
         where l.id = p_id
        returning l.*)
      insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt)
      select w.last, w.last, array[w.id], array[w.before], w.version, 3 /* unblocked event */, 3 /* ready */, w.name,
             w.queue, w.tags, w.run, w.attempt
        from woken w;
  end case;
  raise exception 'errand: it can be done' using errcode = 'ERR03';
exception
  when sqlstate 'ERR03' then null;
  when data_exception or integrity_constraint_violation or program_limit_exceeded or internal_error then
    perform errand.set_aside(p_id, sqlerrm);
    return query select p_id, (select j.name from errand.known j where j.id = p_id), sqlerrm;
end $$;

-- Of the given jobs, or of those at both ends of these queues, and of those whose turn it is there: the ones that cannot be granted.
create function errand.set_aside_unclaimable(p_ids uuid[], p_queues text[], p_limit integer, p_worker text, p_grace_ms bigint)
returns table (job_id uuid, job_name text, why text) language plpgsql set search_path to pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_id uuid;
begin
  foreach v_id in array array(
    select n.id
      from unnest(p_queues) as q (name)
     cross join lateral errand.open_lanes(q.name) as o (lane)
     cross join lateral errand.next_in_turn(array[q.name], array[o.lane], array[p_limit + 100]) n)
    || coalesce(p_ids, array(
    select distinct f.id
      from unnest(p_queues) as q (name)
     cross join lateral (
       (select l.id from errand.live l where l.held is null and l.state = 3 /* ready */ and l.queue = q.name order by l.lane, l.seq limit p_limit)
       union all
       (select l.id from errand.live l where l.held is null and l.state = 3 /* ready */ and l.queue = q.name order by l.lane desc, l.seq limit p_limit)
       union all
       (select o.id from errand.overdue_jobs(q.name, errand.clock(), greatest(p_limit, 1000)) o order by o.seq limit p_limit)) f))
  loop
    return query select * from errand.try_or_set_aside(v_id, 'claim', p_worker, p_grace_ms);
  end loop;
end $$;

-- Of the jobs that a sweep would move: the ones that it cannot.
create function errand.set_aside_unsweepable(p_limit integer)
returns table (job_id uuid, job_name text, why text) language plpgsql set search_path to pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_id uuid;
begin
  for v_id in
    select l.id from errand.live l
     where l.run_at <= v_now and l.state in (1 /* scheduled */, 8 /* suspended */) order by l.run_at limit p_limit
  loop
    return query select * from errand.try_or_set_aside(v_id, 'due');
  end loop;
  foreach v_id in array errand.lost_runs(p_limit, v_now) loop
    return query select * from errand.try_or_set_aside(v_id, 'lost');
  end loop;
  for v_id in select distinct n.job_id from errand.message_notes n limit p_limit loop
    return query select * from errand.try_or_set_aside(v_id, 'message');
  end loop;
  for v_id in
    select first.id
      from (select distinct n.queue, n.key from errand.key_notes n limit p_limit) n
     cross join lateral (
       select l.id from errand.live l
        where l.queue = n.queue and l.key = n.key and l.state in (1 /* scheduled */, 2 /* blocked */)
        order by l.seq limit 1) first
  loop
    return query select * from errand.try_or_set_aside(v_id, 'key');
  end loop;
end $$;

/*
 * The next jobs in line for the ordering keys of these jobs, if they cannot be given the key: otherwise no rule could pass
 * the key on.
 */
create function errand.set_aside_heirs(p_ids uuid[])
returns table (job_id uuid, job_name text, why text) language plpgsql set search_path to pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_of uuid;
  v_id uuid;
  v_state smallint;
begin
  foreach v_of in array p_ids loop
    for v_id, v_state in
      select l.id, l.state
        from errand.live h
        join errand.live l on l.queue = h.queue and l.key = h.key and l.id <> h.id
       where h.id = v_of and l.state in (1 /* scheduled */, 2 /* blocked */)
       order by l.seq
    loop
      -- A scheduled job only gets the key.
      exit when v_state = 1 /* scheduled */;
      return query select * from errand.try_or_set_aside(v_id, 'unblock');
      exit when not found;
    end loop;
  end loop;
end $$;

-- Sets aside a run whose end cannot be recorded. Answers the job's name, or null if the run was not this worker's.
create function errand.set_aside_unsettled(p_id uuid, p_run integer, p_worker text, p_why text) returns text
language plpgsql set search_path to pg_catalog, pg_temp as $$
begin
  perform 1 from (
    select from errand.live l
     where l.id = p_id and l.run = p_run and l.worker = p_worker and l.state = 4 /* running */ for update) locked;
  if not found then return null; end if;
  perform errand.set_aside(p_id, p_why);
  return (select j.name from errand.known j where j.id = p_id);
end $$;
