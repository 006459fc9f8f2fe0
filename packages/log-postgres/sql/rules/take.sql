/*
 * Claims by order: the queues that have ready jobs share p_max evenly, the first ones get what is left over; within a queue
 * lanes from the highest, then older jobs; p_lowest of all from the lowest lanes with waiting jobs. p_from: where to begin in
 * each queue and lane (queue by queue), null from the front; until a vacuum the front of the index is full of dead rows. p_overdue: jobs that no ticket has fetched in time, oldest
 * first.
 * The first row answers only how long the search took, in microseconds (null where jobs took turns), and as its tags the queues
 * whose limits leave no place.
 */
create function errand.take(
  p_queues text[], p_max integer, p_worker text, p_request text, p_grace_ms bigint, p_data text, p_lowest integer,
  p_overdue boolean, p_from bigint[]
) returns table (
  place tid, seq bigint, id uuid, run integer, attempt integer, crashes integer, replays integer, parked_ms bigint,
  expires_ms bigint, max_attempts integer, max_crashes integer, fails_on_crash boolean, timeout_ms bigint, name text,
  payload_version integer, queue text, lane smallint, codec text, payload text, tags text[], meta text, key text,
  parent_id text, dispatched_ms bigint, flow uuid
) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_lanes smallint[] := array[100, 200, 300, 400];
  v_by_lane boolean := p_from is not null;
  v_paused text[];
  v_limited text[];
  -- How many more may run of each queue, by its place; null where none has a limit.
  v_room integer[];
  v_is_repeated boolean;
  v_repeated uuid[] := '{}';
  v_ids uuid[];
  v_rows tid[] := '{}';
  v_started uuid[] := '{}';
  v_more tid[];
  -- One that was picked shares.
  v_takes_turns boolean := false;
  v_order uuid[];
  v_all integer[];
  -- Places of the queues that may have more.
  v_open integer[];
  v_places integer[];
  v_share integer;
  v_low integer := least(p_lowest, p_max);
  v_left integer := p_max - v_low;
  v_search timestamptz;
begin
  select w.paused, w.limited, w.is_repeated into v_paused, v_limited, v_is_repeated from errand.leased(p_worker, p_request, v_now) w;
  if not found then
    raise exception 'errand: the lease of this worker is out' using errcode = 'ERR01';
  end if;
  if v_is_repeated then
    v_repeated := array(
      select r.id from errand.runs r
       where r.worker = any (array[p_worker]) and r.request = p_request and r.run = r.granted_run);
  end if;
  if v_repeated <> '{}' then
    return query
      select c.* from errand.granted_jobs(v_now) c
       where c.id = any (v_repeated)
       order by array_position(p_queues, c.queue), c.lane, c.seq;
    return;
  end if;

  if v_limited && p_queues then v_room := errand.free_places(p_queues); end if;
  v_search := clock_timestamp();
  if p_overdue then
    -- Some more than it takes, because others may have locked the first ones.
    v_ids := array(
      select o.id
        from unnest(p_queues) as q (name)
       cross join lateral errand.overdue_jobs(q.name, v_now, greatest(p_max, 1000)) o
       where not q.name = any (v_paused));
    select coalesce(array_agg(f.ctid), '{}'),
           v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}'),
               v_takes_turns or coalesce(bool_or(f.turn is not null), false)
      into v_more, v_started, v_takes_turns
      from (select l.ctid, l.id, l.unique_mode, l.turn from errand.live l
             where l.id = any (v_ids) and l.state = 3 /* ready */ and l.publish_after <= v_now
               and age(l.xmin) >= 0
             order by l.seq limit p_max for update skip locked) f;
    v_rows := v_rows || v_more;
    if v_room is not null then
      v_rows := errand.within_limits(v_rows, p_queues, v_room);
      select coalesce(array_agg(l.id) filter (where l.unique_mode = 2 /* until started */), '{}') into v_started
        from errand.live l where l.ctid = any (v_rows);
      v_room := errand.left_places(v_room, array(
        select array_position(p_queues, l.queue) from errand.live l where l.ctid = any (v_rows)));
    end if;
  else
    -- Most takes ask for one queue. Then it is all expressions, and one simple statement.
    if cardinality(p_queues) = 1 then
      v_all := case when p_queues[1] = any (v_paused) then '{}' else '{1}' end;
    else
      v_all := array(
        select q.place from unnest(p_queues) with ordinality as q (name, place) where not q.name = any (v_paused));
    end if;
    v_open := v_all;
    loop
      if v_left <= 0 then
        -- The rest comes from the lowest lane with waiting jobs, then the next lowest.
        exit when v_low <= 0;
        v_left := v_low;
        v_low := 0;
        v_by_lane := true;
        v_lanes := array(select n.lane from unnest(v_lanes) as n (lane) order by n.lane desc);
        v_open := v_all;
      end if;
      exit when v_open = '{}';
      v_share := (v_left + cardinality(v_open) - 1) / cardinality(v_open);
      if not v_by_lane and cardinality(v_open) = 1 then
        select coalesce(array_agg(f.ctid), '{}'),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}'),
               v_takes_turns or coalesce(bool_or(f.turn is not null), false)
          into v_more, v_started, v_takes_turns
          from (select l.ctid, l.id, l.unique_mode, l.turn from errand.live l
                 where l.held is null and l.state = 3 /* ready */ and l.queue = p_queues[v_open[1]]
                   and not l.ctid = any (v_rows) and age(l.xmin) >= 0
                 order by l.lane, l.seq limit least(v_left, v_room[v_open[1]]) for update skip locked) f;
      elsif not v_by_lane then
        select coalesce(array_agg(f.ctid), '{}'), array_agg(f.place),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}'),
               v_takes_turns or coalesce(bool_or(f.turn is not null), false)
          into v_more, v_places, v_started, v_takes_turns
          from (select l.*, q.place
                  from unnest(v_open) as q (place)
                 cross join lateral (
                   select l.ctid, l.id, l.unique_mode, l.turn from errand.live l
                    where l.held is null and l.state = 3 /* ready */ and l.queue = p_queues[q.place]
                      and not l.ctid = any (v_rows) and age(l.xmin) >= 0
                    order by l.lane, l.seq limit least(v_share, v_room[q.place]) for update skip locked) l
                 limit v_left) f;
      else
        -- Skips the rows that were locked above.
        select coalesce(array_agg(f.ctid), '{}'), array_agg(f.place),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}'),
               v_takes_turns or coalesce(bool_or(f.turn is not null), false)
          into v_more, v_places, v_started, v_takes_turns
          from (select l.*, q.place
                  from unnest(v_open) as q (place)
                 cross join lateral (
                   select l.*
                     from unnest(v_lanes) as n (lane)
                    cross join lateral (
                      select l.ctid, l.id, l.unique_mode, l.turn from errand.live l
                       where l.held is null and l.state = 3 /* ready */ and l.queue = p_queues[q.place] and l.lane = n.lane
                         and l.seq >= coalesce(p_from[(q.place - 1) * 4 + n.lane / 100], 0)
                         and not l.ctid = any (v_rows) and age(l.xmin) >= 0
                       order by l.seq limit v_share for update skip locked) l
                    limit least(v_share, v_room[q.place])) l
                 limit v_left) f;
      end if;
      v_rows := v_rows || v_more;
      v_left := v_left - cardinality(v_more);
      if v_room is not null then
        v_room := errand.left_places(v_room, array(
          select array_position(p_queues, l.queue) from errand.live l where l.ctid = any (v_more)));
      end if;
      continue when v_left <= 0;
      -- A queue that gave less than its share has nothing else in any lane.
      exit when cardinality(v_open) = 1;
      v_open := array(
        select p.place from unnest(v_places) as p (place) group by p.place having count(*) = v_share order by p.place);
    end loop;
  end if;
  -- By turns nothing is learned about the front: the first ones there may wait for others.
  if not v_takes_turns then seq := (date_part('epoch', clock_timestamp() - v_search) * 1000000)::bigint; end if;
  if v_room is not null then
    tags := array(select u.name from unnest(p_queues, v_room) as u (name, room) where u.room = 0);
  end if;
  return next;
  if v_rows = '{}' then return; end if;

  if v_takes_turns then
    select array_agg(t.place), array_agg(t.id order by o.place, o.lane, t.seq),
           coalesce(array_agg(t.id) filter (where t.unique_mode = 2 /* until started */), '{}')
      into v_rows, v_order, v_started
      from errand.by_turn(v_rows) t
     cross join lateral (
       select case when p_overdue then 0 else array_position(p_queues, t.queue) end as place,
              case when p_overdue then 0 else t.lane end as lane) o;
    v_rows := errand.grant_rows(v_rows, v_now, p_worker, p_request, p_grace_ms, p_data);
    return query
      select c.* from errand.granted_jobs(v_now) c where c.place = any (v_rows) order by array_position(v_order, c.id);
    if v_started <> '{}' then perform errand.free_unique(v_started, true); end if;
    return;
  end if;

  v_rows := errand.grant_rows(v_rows, v_now, p_worker, p_request, p_grace_ms, p_data);
  if cardinality(v_rows) = 1 then
    return query select c.* from errand.granted_jobs(v_now) c where c.place = v_rows[1];
  else
    return query
      select c.* from errand.granted_jobs(v_now) c
       where c.place = any (v_rows)
       order by case when p_overdue then 0 else array_position(p_queues, c.queue) end,
                case when p_overdue then 0 else c.lane end, c.seq;
  end if;
  if v_started <> '{}' then perform errand.free_unique(v_started, true); end if;
end $$;
