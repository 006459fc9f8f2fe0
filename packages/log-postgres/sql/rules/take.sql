/*
 * Claims by order: the queues in the order given, lanes from the highest, then older jobs; p_lowest of each queue's from
 * the lowest lane with waiting jobs. p_from: where to begin in each queue and lane (queue by queue), null from the front;
 * until a vacuum the front of the index is full of dead rows. p_overdue: jobs that no ticket has fetched in time, oldest
 * first.
 * The first row answers only how long the search took, in microseconds.
 */
create function errand.take(
  p_queues text[], p_max integer, p_worker text, p_request text, p_grace_ms bigint, p_data text, p_lowest integer,
  p_overdue boolean, p_from bigint[]
) returns table (
  seq bigint,
  id uuid, run integer, attempt integer, crashes integer, replays integer, parked_ms bigint, expires_ms bigint,
  max_attempts integer, max_crashes integer, fails_on_crash boolean, timeout_ms bigint, name text,
  payload_version integer, queue text, lane smallint, codec text, payload text, tags text[], meta text, key text,
  parent_id text, dispatched_ms bigint
) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_lanes smallint[] := array[100, 200, 300, 400];
  v_served text[];
  v_paused text[];
  v_is_repeated boolean;
  v_repeated uuid[] := '{}';
  v_ids uuid[];
  v_rows tid[] := '{}';
  v_started uuid[] := '{}';
  v_more tid[];
  v_queue text;
  v_left integer := p_max;
  v_low integer;
  v_top integer;
  v_at integer := 0;
  v_search timestamptz;
begin
  select w.queues, array(select p.name from errand.paused_queues p),
         exists (select from errand.grants g where g.worker = any (array[p_worker]) and g.request = p_request)
    into v_served, v_paused, v_is_repeated
    from errand.workers w where w.id = p_worker and w.lease_until >= v_now;
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
      select l.seq,
             l.id, l.run, l.attempt, l.crashes, l.replays, errand.ms(v_now) - errand.ms(l.parked_since),
             errand.ms(j.expires_at) - errand.ms(v_now), j.max_attempts, l.max_crashes, l.fails_on_crash,
             case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end,
             l.name, j.payload_version, l.queue, l.lane, j.codec, j.payload, l.tags, j.meta, l.key, j.parent_id,
             errand.ms(j.dispatched_at)
        from errand.live l join errand.jobs j on j.seq = any (array[l.seq])
       where l.id = any (v_repeated)
       order by array_position(p_queues, l.queue), l.lane, l.seq;
    return;
  end if;

  v_search := clock_timestamp();
  if p_overdue then
    -- Reads the longest overdue jobs of each queue, and takes the oldest of them. It never reads the whole of a long backlog.
    v_ids := array(
      select o.id
        from unnest(p_queues) as q (name)
       cross join lateral (
         select l.id from errand.live l
          where l.state = 3 /* ready */ and l.queue = q.name and l.publish_after <= v_now
          order by l.publish_after limit greatest(p_max, 1000)) o
       where not q.name = any (v_paused));
    select coalesce(array_agg(f.ctid), '{}'),
           v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}')
      into v_more, v_started
      from (select l.ctid, l.id, l.unique_mode from errand.live l
             where l.id = any (v_ids) and l.state = 3 /* ready */ and l.publish_after <= v_now
               and age(l.xmin) >= 0
             order by l.seq limit p_max for update skip locked) f;
    v_rows := v_rows || v_more;
  else
    foreach v_queue in array p_queues loop
      v_at := v_at + 1;
      exit when v_left <= 0;
      continue when v_queue = any (v_paused);
      v_low := least(p_lowest, v_left);
      v_top := v_left - v_low;
      if p_from is null then
        select coalesce(array_agg(f.ctid), '{}'),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}')
          into v_more, v_started
          from (select l.ctid, l.id, l.unique_mode from errand.live l
                 where l.is_open and l.state = 3 /* ready */ and l.queue = v_queue and age(l.xmin) >= 0
                 order by l.lane, l.seq limit v_top for update skip locked) f;
        v_rows := v_rows || v_more;
        v_top := v_top - cardinality(v_more);
      else
        for v_lane in 1 .. cardinality(v_lanes) loop
          exit when v_top <= 0;
          select coalesce(array_agg(f.ctid), '{}'),
                 v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}')
            into v_more, v_started
            from (select l.ctid, l.id, l.unique_mode from errand.live l
                   where l.is_open and l.state = 3 /* ready */ and l.queue = v_queue and l.lane = v_lanes[v_lane]
                     and l.seq >= p_from[(v_at - 1) * cardinality(v_lanes) + v_lane] and age(l.xmin) >= 0
                   order by l.seq limit v_top for update skip locked) f;
          v_rows := v_rows || v_more;
          v_top := v_top - cardinality(v_more);
        end loop;
      end if;
      v_left := v_top + v_low;
      -- Found fewer than it asked for, so nothing else waits in any lane.
      continue when v_top > 0;
      -- From the lowest lane with waiting jobs, then the next lowest. Skips the rows that were locked above.
      for v_lane in reverse cardinality(v_lanes) .. 1 loop
        exit when v_low <= 0;
        select coalesce(array_agg(f.ctid), '{}'),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = 2 /* until started */), '{}')
          into v_more, v_started
          from (select l.ctid, l.id, l.unique_mode from errand.live l
                 where l.is_open and l.state = 3 /* ready */ and l.queue = v_queue and l.lane = v_lanes[v_lane]
                   and l.seq >= coalesce(p_from[(v_at - 1) * cardinality(v_lanes) + v_lane], 0)
                   and not l.ctid = any (v_rows) and age(l.xmin) >= 0
                 order by l.seq limit v_low for update skip locked) f;
        v_rows := v_rows || v_more;
        v_low := v_low - cardinality(v_more);
      end loop;
      v_left := v_low;
    end loop;
  end if;
  seq := (extract(epoch from clock_timestamp() - v_search) * 1000000)::bigint;
  return next;
  if v_rows = '{}' then return; end if;

  v_rows := errand.grant_rows(v_rows, v_now, p_worker, p_request, p_grace_ms, p_data);
  return query
    select l.seq,
           l.id, l.run, l.attempt, l.crashes, l.replays, errand.ms(v_now) - errand.ms(l.parked_since),
           errand.ms(j.expires_at) - errand.ms(v_now), j.max_attempts, l.max_crashes, l.fails_on_crash,
           case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end,
           l.name, j.payload_version, l.queue, l.lane, j.codec, j.payload, l.tags, j.meta, l.key, j.parent_id,
           errand.ms(j.dispatched_at)
      from errand.live l join errand.jobs j on j.seq = any (array[l.seq])
     where l.ctid = any (v_rows)
     order by case when p_overdue then 0 else array_position(p_queues, l.queue) end,
              case when p_overdue then 0 else l.lane end, l.seq;
  if v_started <> '{}' then perform errand.free_unique(v_started, true); end if;
end $$;
