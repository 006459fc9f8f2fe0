/*
 * Judges tickets (each id once) and grants at most p_max. With p_limits it also grants at most p_limits[n] of the tickets
 * whose p_lanes[n] is the same. It locks rows in the order of their ids, and skips those that another transaction has
 * locked. So batches of the same tickets in any order cannot deadlock.
 */
create function errand.claim(
  p_ids uuid[], p_max integer, p_worker text, p_request text, p_grace_ms bigint, p_data text,
  p_lanes smallint[] default null, p_limits integer[] default null
) returns table (
  verdict text, at_ms bigint,
  place tid, seq bigint, id uuid, run integer, attempt integer, crashes integer, replays integer, parked_ms bigint,
  expires_ms bigint, max_attempts integer, max_crashes integer, fails_on_crash boolean, timeout_ms bigint, name text,
  payload_version integer, queue text, lane smallint, codec text, payload text, tags text[], meta text, key text,
  parent_id text, dispatched_ms bigint
) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_served text[];
  v_paused text[];
  v_is_repeated boolean;
  v_repeated uuid[] := '{}';
  v_ids uuid[];
  v_rows tid[];
  v_started uuid[];
begin
  select w.served, w.paused, w.is_repeated into v_served, v_paused, v_is_repeated
    from errand.leased(p_worker, p_request, v_now) w;
  if not found then
    raise exception 'errand: the lease of this worker is out' using errcode = 'ERR01';
  end if;
  if v_is_repeated then
    v_repeated := array(
      select r.id from errand.runs r
       where r.worker = any (array[p_worker]) and r.request = p_request and r.run = r.granted_run and r.id = any (p_ids));
  end if;
  select array_agg(c.id), array_agg(c.place), array_agg(c.id) filter (where c.unique_mode = 2 /* until started */)
    into v_ids, v_rows, v_started
    from (select f.id, f.place, f.unique_mode
            from (select l.id, l.ctid as place, l.unique_mode from errand.live l
                   where l.id = any (p_ids) and l.state = 3 /* ready */ and age(l.xmin) >= 0
                     and l.queue = any (v_served) and not l.queue = any (v_paused)
                   order by l.id
                     for update skip locked) f
           order by array_position(p_ids, f.id)
           limit case when p_limits is null then greatest(p_max - cardinality(v_repeated), 0) end) c;
  if p_limits is not null then
    -- Those that a repeated request was granted count first.
    select array_agg(c.id), array_agg(c.place), array_agg(c.id) filter (where c.id = any (v_started))
      into v_ids, v_rows, v_started
      from (select a.id, a.place
              from (select t.id, v_rows[array_position(v_ids, t.id)] as place, p_limits[t.nth] as most, t.nth,
                           row_number() over (partition by p_lanes[t.nth]
                                                  order by t.id = any (v_repeated) desc, t.nth) as taken
                      from unnest(p_ids) with ordinality as t (id, nth)
                     where t.id = any (v_ids) or t.id = any (v_repeated)) a
             where a.taken <= a.most and not a.id = any (v_repeated)
             order by a.nth
             limit greatest(p_max - cardinality(v_repeated), 0)) c;
  end if;

  if v_repeated <> '{}' then
    return query
      select 'run', null::bigint, c.* from errand.granted_jobs(v_now) c where c.id = any (v_repeated);
  end if;
  if v_ids is not null then
    v_rows := errand.grant_rows(v_rows, v_now, p_worker, p_request, p_grace_ms, p_data);
    return query
      select 'run', null::bigint, c.* from errand.granted_jobs(v_now) c where c.place = any (v_rows);
    if v_started is not null then perform errand.free_unique(v_started, true); end if;
    if cardinality(v_ids) + cardinality(v_repeated) = cardinality(p_ids) then return; end if;
  end if;

  return query
    select case
             when l.id is null then
               case when exists (select from errand.ended x where x.id = any (array[t.id])) then 'finished'
                    else 'unknown' end
             when l.state = 4 /* running */ then 'busy'
             when l.state = 2 /* blocked */ then 'blocked'
             when l.state = 1 /* scheduled */ then 'later'
             when l.state <> 3 /* ready */ then 'finished'
             when l.queue = any (v_paused) then 'paused'
             when not l.queue = any (v_served) then 'elsewhere'
             else 'again'
           end,
           case when l.state = 1 /* scheduled */ then errand.ms(l.run_at) end,
           null::tid, null::bigint, t.id, null::integer, null::integer, null::integer, null::integer, null::bigint,
           null::bigint, null::integer, null::integer, null::boolean, null::bigint, null::text, null::integer, null::text,
           null::smallint, null::text, null::text, null::text[], null::text, null::text, null::text, null::bigint
      from unnest(p_ids) as t (id)
      left join errand.live l on l.id = any (array[t.id])
     where (v_ids is null or not t.id = any (v_ids)) and not t.id = any (v_repeated);
end $$;
