-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

-- Locks these jobs, whatever row they have. Leaves them to a later transaction where one has written such a row.
create function errand.lock_jobs(p_ids uuid[]) returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  perform 1 from (select from errand.live l where l.id = any (p_ids) order by l.id for update) locked;
  perform 1 from (select from errand.ended x where x.id = any (p_ids) order by x.id for update) locked;
  if exists (select from errand.live l where l.id = any (p_ids) and not age(l.xmin) >= 0)
     or exists (select from errand.ended x where x.id = any (p_ids) and not age(x.xmin) >= 0) then
    raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
  end if;
end $$;

/*
 * Starts final jobs again. Rows of kind `replayed`, `ticket` and `duplicate`.
 */
create function errand.replay(p_ids uuid[], p_data text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[];
  v_names text[];
  v_unique_keys text[];
  v_unique_ids uuid[];
  v_holders uuid[];
  v_mine uuid[];
  v_lims text[];
  v_lim_keys text[];
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  v_ids := array(
    select x.id from errand.ended x where x.id = any (p_ids)
    union all
    select l.id from errand.live l where l.id = any (p_ids) and l.state = 6 /* failed */);

  select array_agg(j.name), array_agg(j.unique_key), array_agg(j.id) into v_names, v_unique_keys, v_unique_ids
    from errand.known j where j.id = any (v_ids) and j.unique_key is not null;
  if v_unique_ids is not null then
    v_holders := errand.take_unique(v_names, v_unique_keys, v_unique_ids);
    -- If a job's own key is still kept after its end, the job holds it again until its new end.
    update errand.unique_keys u set free_at = null from errand.known j
     where j.id = any (v_unique_ids) and u.name = any (array[j.name]) and u.key = j.unique_key
       and u.job_id = j.id and u.free_at is not null;
    return query
      select 'duplicate', t.id, null::text, null::smallint
        from unnest(v_unique_ids, v_holders) as t (id, holder) where t.id <> t.holder;
    v_ids := array(
      select t.id from unnest(v_ids) as t (id)
       where not exists (
         select from unnest(v_unique_ids, v_holders) as h (id, holder) where h.id = t.id and h.holder <> t.id));
  end if;

  with wanted as (
    select distinct on (j.queue, j.key) j.queue, j.key, j.id
      from errand.known j where j.id = any (v_ids) and j.key is not null
     order by j.queue, j.key, array_position(p_ids, j.id)),
  locked as (
    insert into errand.keys as k (queue, key, holder)
    select w.queue, w.key, w.id from wanted w order by w.queue, w.key
    on conflict (queue, key) do update set holder = k.holder
    returning k.holder)
  select array_agg(locked.holder) into v_mine from locked;
  perform errand.lock_jobs(v_ids);

  return query
    with final as materialized (
      select j.id, j.seq, j.timeout_ms, j.lane, j.unique_mode, j.fails_on_crash, j.skips_on_failure,
             j.queue, j.name, j.tags, j.key, j.share, j.lim, j.lim_key, coalesce(l.version, x.version) + 1 as version,
             coalesce(l.run, x.run, 1) as run,
             coalesce(l.last, x.last) as before, nextval('errand.events_seq') as link,
             j.replays + (coalesce(l.state, x.state) = 5 /* succeeded */)::integer as replays,
             coalesce(l.state, x.state) = 5 /* succeeded */ as forgets,
             case when (j.key is null or j.id = any (v_mine)) and j.lim is null then 3 /* ready */
                  else 2 /* blocked */ end::smallint as becomes,
             case when (j.key is null or j.id = any (v_mine)) and j.lim is not null then true end as at_limit
        from errand.known j
        left join errand.live l on l.id = any (array[j.id])
        left join errand.ended x on x.id = any (array[j.id])
       where j.id = any (v_ids) and (l.state = 6 /* failed */ or (l.id is null and x.id is not null))),
    counted as (
      update errand.jobs j set replays = f.replays,
             events_since = least(j.events_since, nullif(least(v_now, j.dispatched_at), j.dispatched_at))
        from final f
       where j.seq = any (array[f.seq]) and (j.replays <> f.replays or v_now < j.dispatched_at)),
    -- After a success it is a new life. Else it goes on where it failed.
    forgotten as (delete from errand.steps s using final f where s.job_id = any (array[f.id]) and f.forgets),
    forgotten_too as (delete from errand.messages m using final f where m.job_id = any (array[f.id]) and f.forgets),
    begun as (delete from errand.ended x using final f where x.id = any (array[f.id])),
    put as (
      insert into errand.live as l (
        id, seq, publish_after, timeout_ms, run, version, lane, state, held, last, unique_mode, fails_on_crash,
        skips_on_failure, queue, name, tags, key, share, turn, lim, lim_key, at_limit)
      select f.id, f.seq, case when f.becomes = 3 /* ready */ then v_now end, f.timeout_ms, f.run, f.version, f.lane,
             f.becomes, nullif(f.becomes, 3 /* ready */), f.link, f.unique_mode, f.fails_on_crash, f.skips_on_failure, f.queue, f.name, f.tags, f.key, f.share,
             case when f.becomes = 3 /* ready */ and f.share is not null then errand.turn_of(f.queue, f.lane, f.share, null) end,
             f.lim, f.lim_key, f.at_limit
        from final f order by f.seq
      on conflict (id) do update
         set publish_after = excluded.publish_after, version = excluded.version, last = excluded.last,
             state = excluded.state, held = excluded.held, turn = excluded.turn,
             at_limit = excluded.at_limit, attempt = 0, crashes = null, streak = null, publishes = 0, parked_since = null, cancel = null),
    noted as (
      insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
      select f.link, f.link, array[f.id], array[f.before], f.version, 17 /* replayed event */, f.becomes, f.name, f.queue, f.tags, f.run, 0, p_data
        from final f order by f.seq)
    select case when f.becomes = 3 /* ready */ then 'ticket' else 'replayed' end, f.id, f.queue, f.lane from final f;
  select array_agg(l.lim), array_agg(l.lim_key) into v_lims, v_lim_keys
    from errand.live l where l.id = any (v_ids) and coalesce(l.at_limit, false);
  if v_lims is not null then
    return query
      select 'next', a.id, a.queue, a.lane from errand.admit(v_lims, v_lim_keys, v_now) a where not a.pending;
  end if;
end $$;
