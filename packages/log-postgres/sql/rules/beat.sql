-- The heartbeat of a whole process: one row per worker.

/*
 * Renews the lease, records progress, and answers what the worker must know: rows of kind `claim`, `paused`, `stop` and
 * `transfer` (`run`: its revision).
 * The value of a progress goes to its own table. In the job's row only the counter of its events changes, in place:
 * no index knows that column, and a counter elsewhere would have to be read by everybody after the row's lock.
 */
create function errand.beat(
  p_id text, p_host text, p_pid integer, p_label text, p_lease_ms bigint, p_queues text[], p_taking boolean, p_why text,
  p_jobs uuid[], p_runs integer[], p_values double precision[], p_messages text[], p_data text[],
  p_drivers text[], p_given_up uuid[], p_given_up_runs integer[], p_slots integer[]
) returns table (kind text, name text, run integer, note text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_stop boolean;
  v_late boolean;
begin
  insert into errand.workers as w (
    id, host, pid, label, lease_ms, queues, taking, why, drivers, slots, started_at, last_seen, lease_until)
  values (p_id, p_host, p_pid, p_label,
          case when p_lease_ms is not null then least(greatest(p_lease_ms, 0), 3153600000000) end,
          p_queues, p_taking, p_why, p_drivers, p_slots, v_now, v_now,
          v_now + case when p_lease_ms is not null then least(greatest(p_lease_ms, 0), 3153600000000) end * interval '1 millisecond')
  on conflict (id) do update
     set queues = excluded.queues, taking = excluded.taking, why = excluded.why, drivers = excluded.drivers,
         slots = excluded.slots, lease_ms = excluded.lease_ms, last_seen = excluded.last_seen, lease_until = excluded.lease_until
  returning w.stop into v_stop;

  if p_jobs is not null then
    with fit as materialized (
      select l.id, l.name, l.queue, l.tags, l.run, l.attempt, l.version, l.last, l.is_late,
             nextval('errand.events_seq') as link, t.value, t.message, t.data, t.ord
        from unnest(p_jobs, p_runs, p_values, p_messages, p_data) with ordinality
          as t (id, run, value, message, data, ord)
       cross join lateral (
         select *, not age(l.xmin) >= 0 as is_late from errand.live l
          where l.id = t.id and l.run = t.run and l.state = 4 /* running */ and l.worker = p_id
            for update skip locked) l),
    counted as (
      select fit.*, row_number() over (partition by fit.id order by fit.ord) as nth,
             count(*) over (partition by fit.id) as many,
             coalesce(lag(fit.link) over (partition by fit.id order by fit.ord), fit.last) as before
        from fit),
    noted as (
      insert into errand.events (
        seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, data)
      select c.link, c.link, array[c.id], array[c.before], c.version + c.nth, 5 /* progressed event */, 4 /* running */, c.name, c.queue, c.tags, c.run,
             c.attempt, p_id, '{' || c.data || '}'
        from counted c order by c.ord),
    shown as (
      insert into errand.progress as p (job_id, value, message)
      select c.id, c.value, c.message from counted c where c.nth = c.many
      on conflict (job_id) do update set value = excluded.value, message = excluded.message),
    moved as (
      update errand.live l set version = l.version + c.many, last = c.link from counted c where l.id = c.id and c.nth = c.many)
    select bool_or(c.is_late) into v_late from counted c;
    if v_late then
      raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
    end if;
  end if;

  -- No event: the sweep that calls them lost writes it.
  if p_given_up is not null then
    with given as materialized (
      select l.id from unnest(p_given_up, p_given_up_runs) as t (id, run)
       cross join lateral (
         select l.id from errand.live l
          where l.id = t.id and l.run = t.run and l.state = 4 /* running */ and l.worker = p_id
            for update skip locked) l)
    update errand.live l set deadline = least(l.deadline, v_now) from given where l.id = given.id;
    insert into errand.grants (worker, request, deadline, jobs, runs) values (p_id, '', v_now, p_given_up, p_given_up_runs);
  end if;

  -- Rows of grants most of whose runs have ended.
  with held as materialized (
    select g.ctid as place, cardinality(g.jobs) as many, r.jobs, r.runs, r.deadline
      from errand.grants g
     cross join lateral (
       select coalesce(array_agg(r.id), '{}') as jobs, coalesce(array_agg(r.run), '{}') as runs, min(r.deadline) as deadline
         from errand.runs r where r.place = g.ctid and r.worker = g.worker) r
     where g.worker = any (array[p_id])),
  ended as (
    delete from errand.grants g using held h
     where g.ctid = any (array[h.place]) and g.worker = p_id and cardinality(h.jobs) * 2 < h.many
    returning g.request, h.jobs, h.runs, h.deadline)
  insert into errand.grants (worker, request, deadline, jobs, runs)
  select p_id, e.request, e.deadline, e.jobs, e.runs from ended e where e.jobs <> '{}';

  return query
    select distinct 'claim', r.id::text, r.run, r.cancel from errand.runs r where r.worker = any (array[p_id]);
  return query select 'paused', p.name, null::integer, null::text from errand.paused_queues p;
  return query
    select 'transfer', null::text, m.transfer_revision, m.transfer from errand.meta m where m.transfer_revision > 0;
  if v_stop then return query select 'stop', null::text, null::integer, null::text; end if;
end $$;

/*
 * The queues that live workers serve, for publishers of tickets: how many workers serve each, and the fewest slots among
 * them; null if one of them has not told its slots.
 */
create function errand.served() returns table (queue text, workers bigint, slots integer) language sql stable
set search_path to pg_catalog, pg_temp as $$
  select s.queue, count(*), case when bool_and(s.slots is not null) then min(s.slots) end
    from errand.workers w cross join lateral unnest(w.queues, w.slots) as s (queue, slots)
   where w.lease_until >= errand.clock() and s.queue is not null
   group by s.queue
$$;
