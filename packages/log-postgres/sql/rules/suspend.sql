-- Jobs whose handlers wait. What decides whether one goes on, its waits and its messages, is read with its row locked, in a later
-- statement than the one that has locked it.

/*
 * Suspends runs whose rows the caller has locked; the attempt does not count. p_waits: of each job a JSON object with the version of
 * its memory and its waits. A wait that is stored already stays as it is. If one is over by now, the job goes on at once. Answers
 * lines as `settle` does.
 */
create function errand.suspend(p_ids uuid[], p_waits text[], p_durations text[], p_now timestamptz, p_worker text) returns text
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_jobs uuid[];
  v_names text[];
  v_answer text;
  v_too_many uuid[];
  v_runs integer[];
  v_spans text[];
  v_failed text;
  v_callers uuid[];
  v_targets text[];
  v_called text[];
begin
  -- More waits, or more in all, than a job may have fail it: another run would end the same.
  select array_agg(t.id), array_agg(t.run), array_agg(t.duration) into v_too_many, v_runs, v_spans
    from (
      select u.id, u.duration, l.run, json_array_length(u.wait::json -> 'waits') as waits,
             (select count(*) from errand.steps s where s.job_id = any (array[u.id])) as steps,
             (select count(*) from json_array_elements(u.wait::json -> 'waits') as w (wait)
               where not exists (
                 select from errand.steps s where s.job_id = any (array[u.id]) and s.name = w.wait ->> 'name')) as new
        from unnest(p_ids, p_waits, p_durations) as u (id, wait, duration)
        join errand.live l on l.id = any (array[u.id])) t
   where t.waits > 100 or t.steps + t.new > 1000;
  if v_too_many is not null then
    v_failed := errand.settle(
      v_too_many::text, v_runs::text, array_fill(3 /* fail */, array[cardinality(v_too_many)])::text, null,
      array_fill('json'::text, array[cardinality(v_too_many)])::text,
      array_fill('{"name":"ErrandError","message":"the job waits for more than 100 things at once, or has more than 1000 steps and waits","code":"E_STEP_LIMIT"}'::text,
                 array[cardinality(v_too_many)])::text,
      v_spans::text, array_fill('"cause":"error"'::text, array[cardinality(v_too_many)])::text, p_worker, null);
    if cardinality(v_too_many) = cardinality(p_ids) then return v_failed; end if;
    select array_agg(t.id), array_agg(t.wait), array_agg(t.duration) into p_ids, p_waits, p_durations
      from unnest(p_ids, p_waits, p_durations) as t (id, wait, duration) where not t.id = any (v_too_many);
  end if;

  with asked as materialized (
    select t.id, t.ord, (t.wait::json ->> 'memoryVersion')::integer as version, w.*
      from unnest(p_ids, p_waits) with ordinality as t (id, wait, ord)
     cross join lateral rows from (
             json_to_recordset(t.wait::json -> 'waits') as (name text, kind smallint, delay bigint, at bigint, "on" text)) with ordinality
             as w (name, kind, delay, at, "on", nth)),
  stored as (
    insert into errand.steps (job_id, name, until, run, memory_version, kind, called)
    select a.id, errand.step_name(a.name),
           case when a.at is not null
                then to_timestamp(case when a.at not between -62135596800000 and 253402300799999 then errand.out_of_bounds('a time', a.at)
                                       else a.at end / 1000.0)
                else p_now + case when a.delay not between 0 and 3153600000000 then errand.out_of_bounds('a duration', a.delay)
                                  else a.delay end * interval '1 millisecond' end,
           l.run, a.version,
           case when a.kind not in (2 /* sleep */, 3 /* message */, 4 /* call */) then errand.out_of_bounds('a kind of wait', a.kind)
                else a.kind end,
           case when octet_length(a."on") > 512 then errand.out_of_bounds('what a job waits for', a."on") else a."on" end
      from asked a
      join errand.live l on l.id = any (array[a.id])
     order by a.ord, a.nth
    on conflict (job_id, name) do nothing)
  select array_agg(asked.id order by asked.ord, asked.nth), array_agg(asked.name order by asked.ord, asked.nth)
    into v_jobs, v_names
    from asked;

  select array_agg(s.job_id order by u.ord), array_agg(s.called order by u.ord), array_agg(s.name order by u.ord)
    into v_callers, v_targets, v_called
    from unnest(v_jobs, v_names) with ordinality as u (job_id, name, ord)
    join errand.steps s on s.job_id = any (array[u.job_id]) and s.name = u.name
   where s.kind = 4 /* call */ and s.done_at is null;
  if v_callers is not null then perform errand.link_calls(v_callers, v_targets::uuid[], v_called); end if;

  with c as materialized (
    select l.*, nextval('errand.events_seq') as link, t.duration, w.names, o.until
      from unnest(p_ids, p_durations) as t (id, duration)
      join errand.live l on l.id = any (array[t.id])
     cross join lateral (
       select json_agg(u.name order by u.ord) as names
         from unnest(v_jobs, v_names) with ordinality as u (job_id, name, ord)
         where u.job_id = t.id) w
     cross join lateral (
       select min(s.until) as until from errand.steps s where s.job_id = any (array[t.id]) and s.done_at is null) o),
  moved as (
    update errand.live l
       set state = 8 /* suspended */, held = 8 /* suspended */, run_at = c.until, attempt = l.attempt - 1, version = l.version + 1,
           has_needs = coalesce(l.has_needs, nullif(l.id = any (v_callers), false)), last = c.link, streak = null, publish_after = null, publishes = 0, turn = null, parked_since = null, worker = null,
           deadline = null
      from c where l.id = any (array[c.id])),
  noted as (
    insert into errand.events (
      seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, run_at, data)
    select c.link, c.link, p_now, array[c.id], array[c.last], c.version + 1, 18 /* suspended event */, 8 /* suspended */, c.name, c.queue,
           c.tags, c.run, c.attempt - 1, p_worker, c.until, '{' || concat_ws(',', c.duration, '"waits":' || c.names) || '}'
      from c)
  select string_agg(concat_ws(E'\t', 'settled', c.id, 18 /* suspended event */, 8 /* suspended */, coalesce(errand.ms(c.until)::text, ''),
                              c.queue, c.lane), E'\n')
    into v_answer from c;

  -- Later lines about a job replace earlier ones.
  return concat_ws(E'\n', v_failed, v_answer, (
    select string_agg(concat_ws(E'\t', 'settled', r.id, 19 /* resumed event */, r.state, '', r.queue, r.lane), E'\n')
      from errand.go_on(p_ids, p_now, p_now, v_jobs, v_names) r));
end $$;

/*
 * Lets go on those of these suspended jobs that have a wait which is over: a message is there for it, its time has come, or what it
 * called has ended. The caller has locked their rows, and none of them is from a later transaction. p_jobs and p_names: waits that were over before. Answers the
 * jobs that went on: they are ready, or blocked at their limit, which the caller must tell.
 */
create function errand.go_on(
  p_ids uuid[], p_now timestamptz, p_publish_after timestamptz, p_jobs uuid[] default null, p_names text[] default null
) returns table (id uuid, queue text, lane smallint, state smallint, lim text, lim_key text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  -- The waits that are over, job by job, and the names and senders of the messages that ended them.
  v_jobs uuid[] := '{}';
  v_names text[] := '{}';
  v_messages text[] := '{}';
  v_senders text[] := '{}';
begin
  if p_ids = '{}' then return; end if;
  if p_jobs is not null then
    select coalesce(array_agg(u.job_id order by u.ord), '{}'), coalesce(array_agg(u.name order by u.ord), '{}')
      into v_jobs, v_names
      from unnest(p_jobs, p_names) with ordinality as u (job_id, name, ord)
      join errand.steps s on s.job_id = any (array[u.job_id]) and s.name = u.name and s.done_at is not null;
    v_messages := array_fill(null::text, array[cardinality(v_jobs)]);
    v_senders := v_messages;
  end if;

  with open as (
    select s.*, row_number() over (partition by s.job_id, s.kind, s.called order by s.run desc, s.ord desc) as nth
      from errand.steps s where s.job_id = any (p_ids) and s.done_at is null),
  -- The youngest wait for a message gets it: an older one that is still open has lost a race.
  over as materialized (
    select o.*, nextval('errand.steps_seq') as place
      from (
        select s.job_id, s.name, m.id, m.name as message, m.sent_by, coalesce(m.codec, n.codec) as codec,
               coalesce(m.body, n.body) as body, n.done
          from open s
          left join lateral (
            select m.* from errand.messages m
             where m.job_id = any (array[s.job_id]) and m.name = s.called and not m.taken and s.kind = 3 /* message */
             order by m.seq offset s.nth - 1 limit 1) m on true
          left join errand.needs n
            on n.child = any (array[s.job_id]) and n.mode = 4 /* called need */ and n.name = s.name and n.done is not null
           and s.kind = 4 /* call */
         where m.id is not null or n.done is not null or s.until <= p_now
         order by coalesce(m.at, case when n.done is not null then p_now end, s.until), s.ord) o),
  taken as (
    update errand.messages m set taken = true, codec = null, body = null
      from over o where m.job_id = any (array[o.job_id]) and m.id = o.id),
  kept as (
    update errand.steps s
       set done_at = p_now, ord = o.place, message_id = o.id, codec = o.codec, body = o.body, size = coalesce(length(o.body), 0),
           ended_by = case when o.id is not null then 2 /* by message */ else coalesce(o.done, 1 /* by time */) end
      from over o where s.job_id = any (array[o.job_id]) and s.name = o.name)
  select v_jobs || array_agg(o.job_id order by o.place), v_names || array_agg(o.name order by o.place),
         v_messages || array_agg(o.message order by o.place), v_senders || array_agg(o.sent_by order by o.place)
    into v_jobs, v_names, v_messages, v_senders
    from over o;
  if v_jobs = '{}' then return; end if;

  return query
    with over as materialized (
      select o.job_id, json_build_object('waits', json_agg(o.name order by o.ord))::text as data
        from unnest(v_jobs, v_names) with ordinality as o (job_id, name, ord) group by o.job_id),
    found as materialized (
      select l.*, o.data, case when l.lim is null then 3 /* ready */ else 2 /* blocked */ end::smallint as becomes
        from over o join errand.live l on l.id = any (array[o.job_id])),
    told as materialized (
      select e.*, nextval('errand.events_seq') as link
        from (
          select f.id, row_number() over (partition by f.id order by t.ord) as nth, t.type, t.data
            from found f
           cross join lateral (
             select r.ord, 20 /* received event */ as type,
                    json_build_object('waits', json_build_array(r.message), 'by', r.sent_by)::text as data
               from unnest(v_jobs, v_messages, v_senders) with ordinality as r (job_id, message, sent_by, ord)
              where r.job_id = f.id and r.message is not null
             union all
             select null, 19 /* resumed event */, f.data) t
           order by f.id, nth) e),
    moved as (
      update errand.live l
         set state = f.becomes, held = nullif(f.becomes, 3 /* ready */), at_limit = case when f.becomes = 2 /* blocked */ then true end,
             run_at = null, attempt = 0, crashes = null, streak = null, resumed_at = p_now, version = l.version + n.count, last = n.last,
             publish_after = case when f.becomes = 3 /* ready */ then p_publish_after end, publishes = 0,
             turn = case when f.becomes = 3 /* ready */ and l.share is not null then errand.turn_of(l.queue, l.lane, l.share, null) end
        from found f
       cross join lateral (select count(*)::integer as count, max(t.link) as last from told t where t.id = f.id) n
       where l.id = any (array[f.id])),
    noted as (
      insert into errand.events (seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
      select t.link, t.link, p_now, array[t.id], array[coalesce(lag(t.link) over (partition by t.id order by t.nth), f.last)],
             f.version + t.nth::integer, t.type, case when t.type = 19 /* resumed event */ then f.becomes else f.state end, f.name, f.queue,
             f.tags, f.run, case when t.type = 19 /* resumed event */ then 0 else f.attempt end, t.data
        from told t join found f on f.id = t.id)
    select f.id, f.queue, f.lane, f.becomes, f.lim, f.lim_key from found f;
end $$;

-- Suspended jobs whose time has come. Rows of kind `ticket`, and `blocked` for those that wait at their limit.
create function errand.wake_due(p_ids uuid[], p_now timestamptz) returns table (kind text, id uuid, queue text, lane smallint)
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_ids uuid[] := array(
    select l.id from errand.live l
     -- The index on ids must find it. `coalesce` prevents the use of the index on due jobs.
     where l.id = any (p_ids) and l.state = 8 /* suspended */ and coalesce(l.run_at, 'infinity') <= p_now and age(l.xmin) >= 0
     order by l.id for update skip locked);
begin
  return query
    with gone as materialized (select * from errand.go_on(v_ids, p_now, p_now + interval '30 seconds')),
    -- The sweep lets them go behind this.
    told as (
      insert into errand.limit_notes (lim, lim_key)
      select distinct g.lim, g.lim_key from gone g where g.state = 2 /* blocked */)
    select case when g.state = 3 /* ready */ then 'ticket' else 'blocked' end, g.id, g.queue, g.lane from gone g;
  -- Whose waits say otherwise would be found by each sweep.
  update errand.live l set run_at = null where l.id = any (v_ids) and l.state = 8 /* suspended */;
end $$;
