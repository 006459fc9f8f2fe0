-- Retention: finished jobs go in small batches, their events by whole days (see partitions).

/*
 * Deletes finished jobs whose end is older than their retention; p_types are the types of their last event. Each call reads
 * at most p_limit ends, and the next call continues after them, so that no dead row is read twice. The ends that open
 * transactions have written cannot be seen yet. So those transactions are remembered, and once they are over their ends are
 * read by an index on the transaction. A failed job that still holds a key has a live row, and stays.
 *
 * A table of the application may refer to a job, so that the job cannot be deleted. Then this fails, and the caller calls it
 * again with p_keep: what cannot be deleted is kept, and answered with the constraint.
 */
create function errand.prune(p_types smallint[], p_before timestamptz, p_limit integer, p_keep boolean default false)
returns table (gone integer, more boolean, kept uuid[], constraints text[]) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off
set lock_timeout to '2s' as $$
declare
  v_type smallint;
  v_now timestamptz := errand.clock();
  v_snapshot pg_snapshot;
  v_row errand.prunes;
  v_from timestamptz;
  v_until timestamptz;
  v_open xid8[];
  v_tx xid8;
  v_ids uuid[];
  v_ats timestamptz[];
  v_seq bigint;
  v_place integer;
  v_backs integer;
  v_back_to timestamptz;
  v_read integer;
  v_left integer := p_limit;
  v_try_at timestamptz := case when p_keep then v_now + interval '1 day' end;
begin
  gone := 0;
  -- Otherwise a deferred one would fail the whole transaction at its end.
  if p_keep then set constraints all immediate; end if;
  -- Marked by an earlier transaction: who relied on such a row before has a job that can be seen now.
  delete from errand.succeeded_ranges r
   where r.ctid = any (array(
     select l.ctid from errand.succeeded_ranges l
      where l.leaving
        and not exists (select from errand.jobs j where j.seq >= l.start and j.seq < errand.range_end(l.start))
      order by l.start limit p_limit for update skip locked));
  foreach v_type in array p_types loop
    exit when v_left <= 0;
    insert into errand.prunes (type) values (v_type) on conflict do nothing;
    select p.* into v_row from errand.prunes p where p.type = v_type for update;
    -- If the clock has gone back, it starts from the front again. If the retention has grown, it continues no later than p_before.
    v_from := case when v_row.looked_at > v_now then '-infinity' else least(v_row.looked_until, p_before) end;
    -- The clock may have gone back and forward again: jobs that ended in between lie before the place reached so far.
    select w.backs, w.back_to into v_backs, v_back_to from errand.sweeps w;
    if v_backs > v_row.backs then v_from := least(v_from, v_back_to); end if;
    v_snapshot := pg_current_snapshot();
    v_open := v_row.open;

    -- Where the retention has grown, the younger ones are found again by their ends.
    with tried as (
      delete from errand.unpruned u
       where u.job_id = any (array(
         select t.job_id from errand.unpruned t where t.type = v_type and t.try_at <= v_now order by t.try_at limit v_left))
      returning u.job_id, u.at)
    select array_agg(t.job_id) filter (where t.at <= p_before), array_agg(t.at) filter (where t.at <= p_before), count(*)
      into v_ids, v_ats, v_read
      from tried t;
    gone := gone + errand.prune_or_keep(v_ids, v_ats, v_type, v_try_at);
    v_left := v_left - v_read;

    -- Those that were needed. They do not count against the limit before they go: all of them may be needed for long.
    with tried as (
      delete from errand.kept k
       where k.job_id = any (array(
         select t.job_id from errand.kept t where t.type = v_type order by t.looked_at limit p_limit))
      returning k.job_id, k.at)
    select array_agg(t.job_id), array_agg(t.at) into v_ids, v_ats from tried t;
    v_read := errand.prune_or_keep(v_ids, v_ats, v_type, v_try_at);
    gone := gone + v_read;
    v_left := v_left - v_read;

    foreach v_tx in array v_row.open loop
      exit when v_left <= 0;
      continue when not pg_visible_in_snapshot(v_tx, v_snapshot);
      select array_agg(e.job_id) filter (where e.type = v_type), array_agg(e.at) filter (where e.type = v_type),
             (array_agg(e.seq order by e.seq desc, e.place desc))[1], (array_agg(e.place order by e.seq desc, e.place desc))[1],
             count(*)
        into v_ids, v_ats, v_seq, v_place, v_read
        from (select e.job_id, e.at, e.type, e.seq, e.place
                from errand.job_events e
               where e.tx = v_tx and e.at <= v_from
                 and e.seq >= v_row.late_seq and (e.seq > v_row.late_seq or e.place > v_row.late_place)
               order by e.seq, e.place limit v_left) e;
      gone := gone + errand.prune_or_keep(v_ids, v_ats, v_type, v_try_at);
      if v_read = v_left then
        v_row.late_seq := v_seq;
        v_row.late_place := v_place;
        -- The next call continues in this transaction.
        v_open := v_tx || array_remove(v_open, v_tx);
      else
        v_row.late_seq := 0;
        v_row.late_place := 0;
        v_open := array_remove(v_open, v_tx);
      end if;
      v_left := v_left - v_read;
    end loop;

    if v_left > 0 then
      if v_from <> v_row.looked_until then v_row.looked_seq := 9223372036854775807; end if;
      select array_agg(e.job_id), array_agg(e.at), max(e.at), (array_agg(e.seq order by e.at desc, e.seq desc, e.place desc))[1],
             (array_agg(e.place order by e.at desc, e.seq desc, e.place desc))[1], count(*)
        into v_ids, v_ats, v_until, v_seq, v_place, v_read
        from (select e.job_id, e.at, e.seq, e.place
                from errand.job_events e
               where e.type = v_type
                 and e.type in (6 /* succeeded event */, 12 /* failed event */, 14 /* cancelled event */, 16 /* skipped event */)
                 and e.at >= v_from and e.at <= p_before
                 and (e.at > v_from or (e.seq, e.place) > (v_row.looked_seq, v_row.looked_place))
               order by e.at, e.seq, e.place limit v_left) e;
      gone := gone + errand.prune_or_keep(v_ids, v_ats, v_type, v_try_at);
      v_row.looked_seq := v_seq;
      v_row.looked_place := v_place;
      if v_read < v_left then
        v_until := p_before;
        v_row.looked_seq := 9223372036854775807;
      end if;
      v_left := v_left - v_read;
      v_open := array(
        select distinct t.tx from unnest(v_open || array(select pg_snapshot_xip(v_snapshot))) as t (tx) order by t.tx);
    end if;
    update errand.prunes p
       set looked_until = coalesce(v_until, v_from), looked_at = v_now, open = v_open, late_seq = v_row.late_seq,
           looked_seq = coalesce(v_row.looked_seq, p.looked_seq), looked_place = coalesce(v_row.looked_place, 0),
           late_place = v_row.late_place, backs = coalesce(v_backs, 0)
     where p.type = v_type;
    v_until := null;
  end loop;
  more := v_left <= 0;
  if p_keep then
    select array_agg(u.job_id order by j.seq), array_agg(u.constraint_name order by j.seq) into kept, constraints
      from errand.unpruned u
      join errand.ended j on j.id = any (array[u.job_id])
     where u.type = any (p_types) and u.try_at = v_try_at;
  end if;
  delete from errand.unique_keys u where (u.name, u.key) in (
    select f.name, f.key from errand.unique_keys f where f.free_at <= errand.clock() limit p_limit for update skip locked);
  return next;
end $$;

/*
 * Deletes those of the jobs that can be deleted. It tries halves of what is refused, until the culprit is alone: that one is
 * tried again at p_try_at. Null: what is refused fails the call.
 */
create function errand.prune_or_keep(
  p_ids uuid[], p_ats timestamptz[], p_type smallint, p_try_at timestamptz, p_of_flow boolean default false
) returns integer language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
  v_count integer := coalesce(cardinality(p_ids), 0);
  v_middle integer := v_count / 2;
  v_constraint text;
  v_schema text;
  v_table text;
begin
  if v_count = 0 then return 0; end if;
  if p_try_at is null then return errand.prune_ended(p_ids, p_ats, p_type, p_of_flow); end if;
  begin
    return errand.prune_ended(p_ids, p_ats, p_type, p_of_flow);
  exception when integrity_constraint_violation then
    get stacked diagnostics v_constraint = constraint_name, v_schema = schema_name, v_table = table_name;
  end;
  if v_count > 1 then
    return errand.prune_or_keep(p_ids[:v_middle], p_ats[:v_middle], p_type, p_try_at, p_of_flow)
         + errand.prune_or_keep(p_ids[v_middle + 1:], p_ats[v_middle + 1:], p_type, p_try_at, p_of_flow);
  end if;
  insert into errand.unpruned (job_id, type, at, try_at, constraint_name)
  values (p_ids[1], p_type, p_ats[1], p_try_at, format('%s on %s.%s', v_constraint, v_schema, v_table))
  on conflict (job_id) do update
     set type = excluded.type, at = excluded.at, try_at = excluded.try_at, constraint_name = excluded.constraint_name;
  return 0;
end $$;

/*
 * Deletes those of the jobs whose last end was at this time. Checks it after locking the rows: a replay may be under way. Members go
 * with their flow (p_of_flow). What an unfinished job needs is kept, and written down.
 */
create function errand.prune_ended(p_ids uuid[], p_ats timestamptz[], p_type smallint, p_of_flow boolean) returns integer
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_ids uuid[];
  v_seqs bigint[];
  v_names text[];
  v_keys text[];
  v_needed uuid[];
begin
  perform 1 from (select from errand.ended x where x.id = any (p_ids) order by x.id for update) locked;
  select array_agg(x.id), array_agg(x.seq), array_agg(j.name), array_agg(j.unique_key)
    into v_ids, v_seqs, v_names, v_keys
    from unnest(p_ids, p_ats) as t (id, at)
    join errand.ended x on x.id = any (array[t.id]) and x.at = t.at
    join errand.jobs j on j.seq = any (array[x.seq])
   where p_of_flow or j.flow is null or not exists (select from errand.flows f where f.id = any (array[j.flow]));
  if v_ids is null then return 0; end if;
  v_needed := array(select u.id from unnest(v_ids) as u (id) where errand.is_needed(u.id));
  if v_needed <> '{}' then
    insert into errand.kept (job_id, type, at, looked_at)
    select x.id, p_type, x.at, errand.clock() from errand.ended x where x.id = any (v_needed)
    on conflict (job_id) do update set type = excluded.type, at = excluded.at, looked_at = excluded.looked_at;
    select array_agg(t.id), array_agg(t.seq), array_agg(t.name), array_agg(t.key) into v_ids, v_seqs, v_names, v_keys
      from unnest(v_ids, v_seqs, v_names, v_keys) as t (id, seq, name, key) where not t.id = any (v_needed);
    if v_ids is null then return 0; end if;
  end if;
  delete from errand.needs n where n.child = any (v_ids);
  delete from errand.kept_ends k where k.job_id = any (v_ids);
  delete from errand.jobs j where j.seq = any (v_seqs);
  delete from errand.ended x where x.id = any (v_ids);
  delete from errand.progress p where p.job_id = any (v_ids);
  delete from errand.steps s where s.job_id = any (v_ids);
  delete from errand.messages m where m.job_id = any (v_ids);
  delete from errand.unique_keys u using unnest(v_names, v_keys, v_ids) as t (name, key, id)
   where u.name = any (array[t.name]) and u.key = t.key and u.job_id = t.id;
  -- A dispatch that cannot be seen yet may have put a job into an empty range. So its row goes in two steps.
  update errand.succeeded_ranges r set leaving = true
    from (select distinct errand.range_start(t.seq) as start from unnest(v_seqs) as t (seq)) s
   where r.start = any (array[s.start]) and not r.leaving
     and not exists (select from errand.jobs j where j.seq >= s.start and j.seq < errand.range_end(s.start));
  return cardinality(v_ids);
end $$;

-- Whether a job that has not ended needs this job or flow. Its caller has a copy of the end of a job, and reads those of a flow's members.
create function errand.is_needed(p_id uuid) returns boolean language plpgsql stable as $$
begin
  return exists (
    select from errand.needs n
     where n.parent = any (array[p_id]) and (n.done is null or n.mode <> 4 /* called need */ or n.is_flow)
       and exists (select from errand.live l where l.id = any (array[n.child]) and l.state <> 6 /* failed */));
end $$;

/*
 * Deletes flows that have ended in one of these states by that time, with their members and the flows in them; not those that an
 * unfinished job needs. p_limit and p_keep: as in prune.
 */
create function errand.prune_flows(p_states smallint[], p_before timestamptz, p_limit integer, p_keep boolean default false)
returns table (gone integer, more boolean) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off
set lock_timeout to '2s' as $$
declare
  v_id uuid;
  v_flows uuid[];
  v_chunk record;
  v_type smallint := case when 6 /* failed */ = any (p_states) then 12 /* failed event */ else 6 /* succeeded event */ end;
  v_try_at timestamptz := case when p_keep then errand.clock() + interval '1 day' end;
begin
  gone := 0;
  more := false;
  if p_keep then set constraints all immediate; end if;
  for v_id in
    select f.id from errand.flows f
     where f.ended_at is not null and f.flow is null and f.ended_at <= p_before and f.state = any (p_states)
     order by f.ended_at
  loop
    perform 1 from (select from errand.flows f where f.id = v_id and f.ended_at <= p_before for update skip locked) locked;
    continue when not found;
    with recursive inner_flows (id) as (
      select v_id
      union all
      select f.id from inner_flows i join errand.flows f on f.flow = any (array[i.id]))
    select array_agg(i.id) into v_flows from inner_flows i;
    continue when exists (select from unnest(v_flows) as u (id) where errand.is_needed(u.id));
    for v_chunk in
      select m.flow, m.start, m.ids from errand.members m where m.flow = any (v_flows) order by m.flow, m.start
    loop
      if gone >= p_limit then
        more := true;
        return next;
        return;
      end if;
      gone := gone + errand.prune_or_keep(
        array(select x.id from errand.ended x where x.id = any (v_chunk.ids) order by x.id),
        array(select x.at from errand.ended x where x.id = any (v_chunk.ids) order by x.id), v_type, v_try_at, true);
      delete from errand.members m where m.flow = v_chunk.flow and m.start = v_chunk.start;
    end loop;
    delete from errand.work_notes n where n.kind = 3 /* count note */ and n.target = any (v_flows);
    delete from errand.flows f where f.id = any (v_flows);
  end loop;
  return next;
end $$;
