/*
 * Judges tickets (each id once) and grants at most p_max. With p_limits it also grants at most p_limits[n] of the tickets
 * whose p_lanes[n] is the same. The ticket of a job that takes turns is a right to the job whose turn it is in its queue and lane,
 * also when its own job runs already, waits or has ended. Then its verdict is `turn`, and one of the rows `run` is not of a ticket.
 * It locks rows in the order of their ids, and skips those that another transaction has
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
  parent_id text, dispatched_ms bigint, flow uuid
) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_served text[];
  v_paused text[];
  v_limited text[];
  v_is_repeated boolean;
  v_repeated uuid[] := '{}';
  v_ids uuid[];
  v_rows tid[];
  v_started uuid[];
  v_takes_turns boolean;
  -- Tickets whose rights are used, and those that are left, each with its queue, lane and verdict without the right.
  v_used uuid[] := '{}';
  v_rights uuid[] := '{}';
  v_queues text[] := '{}';
  v_in smallint[] := '{}';
  v_verdicts text[] := '{}';
  v_times bigint[] := '{}';
  v_queue text;
  v_lane smallint;
  v_fit uuid[];
  v_room integer[];
  -- Tickets of jobs that would run, if their queue had no limit.
  v_full uuid[] := '{}';
  -- Jobs that this request was granted before, by tickets of others.
  v_spare integer := 0;
begin
  select w.served, w.paused, w.limited, w.is_repeated into v_served, v_paused, v_limited, v_is_repeated
    from errand.leased(p_worker, p_request, v_now) w;
  if not found then
    raise exception 'errand: the lease of this worker is out' using errcode = 'ERR01';
  end if;
  if v_is_repeated then
    v_repeated := array(
      select r.id from errand.runs r
       where r.worker = any (array[p_worker]) and r.request = p_request and r.run = r.granted_run);
    v_spare := cardinality(v_repeated) - (select count(*) from unnest(v_repeated) as r (id) where r.id = any (p_ids));
  end if;
  select array_agg(c.id), array_agg(c.place), array_agg(c.id) filter (where c.unique_mode = 2 /* until started */),
         bool_or(c.turn is not null)
    into v_ids, v_rows, v_started, v_takes_turns
    from (select f.id, f.place, f.unique_mode, f.turn
            from (select l.id, l.ctid as place, l.unique_mode, l.turn from errand.live l
                   where l.id = any (p_ids) and l.state = 3 /* ready */ and age(l.xmin) >= 0
                     and l.queue = any (v_served) and not l.queue = any (v_paused)
                     -- Which of them have used their rights before is found out below.
                     and (v_spare = 0 or l.turn is null)
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

  if v_limited && v_served and v_ids is not null then
    v_full := v_ids;
    -- All that this worker serves, so that a second look below waits for none.
    v_limited := array(select q.name from unnest(v_limited) as q (name) where q.name = any (v_served));
    v_rows := errand.within_limits(v_rows, v_limited, errand.free_places(v_limited));
    select array_agg(l.id), array_agg(l.ctid), array_agg(l.id) filter (where l.unique_mode = 2 /* until started */)
      into v_ids, v_rows, v_started
      from errand.live l where l.ctid = any (v_rows);
    v_full := array(select f.id from unnest(v_full) as f (id) where v_ids is null or not f.id = any (v_ids));
  end if;

  if v_takes_turns and v_ids is not null then
    v_used := v_ids;
    select array_agg(t.id), array_agg(t.place), array_agg(t.id) filter (where t.unique_mode = 2 /* until started */)
      into v_ids, v_rows, v_started
      from errand.by_turn(v_rows) t;
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
    -- Where jobs take turns, others than those of the tickets may be among them.
    if cardinality(v_ids) + cardinality(v_repeated) = cardinality(p_ids) and v_takes_turns is not true and v_repeated <@ p_ids then
      return;
    end if;
  end if;

  for verdict, at_ms, id, v_queue, v_lane in
    select case
             when l.id is null then case when x.seq is not null then 'finished' else 'unknown' end
             when l.state = 4 /* running */ then 'busy'
             when l.state in (2 /* blocked */, 8 /* suspended */) then 'blocked'
             when l.state = 1 /* scheduled */ then 'later'
             when l.state <> 3 /* ready */ then 'finished'
             when l.queue = any (v_paused) then 'paused'
             when not l.queue = any (v_served) then 'elsewhere'
             else 'again'
           end,
           case when l.state = 1 /* scheduled */ then errand.ms(l.run_at) end,
           t.id, coalesce(r.queue, case when l.share is not null then l.queue end), coalesce(r.lane, l.lane)
      from unnest(p_ids) as t (id)
      left join errand.live l on l.id = any (array[t.id])
      left join lateral (
        select x.seq, x.shares from errand.ended x where l.id is null and x.id = any (array[t.id])) x on true
      left join lateral (
        select j.queue, j.lane from errand.jobs j where x.shares and j.seq = any (array[x.seq])) r on true
     where (v_ids is null or not t.id = any (v_ids)) and not t.id = any (v_repeated)
  loop
    if id = any (v_full) then
      verdict := 'full';
      return next;
    elsif v_queue is null then
      return next;
    elsif id = any (v_used) then
      verdict := 'turn';
      return next;
    elsif v_spare > 0 then
      v_spare := v_spare - 1;
      v_used := v_used || id;
      verdict := 'turn';
      return next;
    elsif verdict in ('again', 'paused', 'elsewhere') or v_queue = any (v_paused) or not v_queue = any (v_served) then
      return next;
    else
      v_rights := v_rights || id;
      v_queues := v_queues || v_queue;
      v_in := v_in || v_lane;
      v_verdicts := v_verdicts || verdict;
      v_times := v_times || at_ms;
    end if;
  end loop;
  if v_rights = '{}' then return; end if;

  -- The rights that there is room for.
  v_fit := array(
    select f.id
      from (select t.id, t.nth, p_limits[t.nth] as most, (t.id = any (v_rights)) as is_right,
                   count(*) filter (where not t.id = any (v_rights)) over (partition by p_lanes[t.nth])
                   + row_number() over (partition by p_lanes[t.nth], t.id = any (v_rights) order by t.nth) as taken
              from unnest(p_ids) with ordinality as t (id, nth)
             where t.id = any (v_rights) or t.id = any (v_ids) or t.id = any (v_repeated) or t.id = any (v_used)) f
     where f.is_right and (p_limits is null or f.taken <= f.most)
     order by f.nth
     limit greatest(p_max - cardinality(v_repeated) - coalesce(cardinality(v_ids), 0), 0));
  if v_limited && v_queues then
    v_room := errand.free_places(v_queues);
    v_full := array(
      select f.id
        from (select r.id, v_room[r.nth] as most, row_number() over (partition by r.queue order by r.nth) as taken
                from unnest(v_rights, v_queues) with ordinality as r (id, queue, nth) where r.id = any (v_fit)) f
       where f.taken > f.most);
    v_fit := array(select f.id from unnest(v_fit) as f (id) where not f.id = any (v_full));
  end if;
  with fit as materialized (
    select r.id, r.queue, r.lane, row_number() over (partition by r.queue, r.lane order by r.nth) as nth
      from unnest(v_rights, v_queues, v_in) with ordinality as r (id, queue, lane, nth) where r.id = any (v_fit)),
  line as (
    select array_agg(s.queue) as queues, array_agg(s.lane) as lanes, array_agg(s.count) as counts
      from (select fit.queue, fit.lane, count(*)::integer as count from fit group by fit.queue, fit.lane) s)
  select array_agg(n.place), array_agg(fit.id), array_agg(n.id) filter (where n.unique_mode = 2 /* until started */)
    into v_rows, v_used, v_started
    from line
   cross join lateral errand.next_in_turn(line.queues, line.lanes, line.counts) n
    join fit on fit.queue = line.queues[n.line] and fit.lane = line.lanes[n.line] and fit.nth = n.nth;
  if v_rows is not null then
    v_rows := errand.grant_rows(v_rows, v_now, p_worker, p_request, p_grace_ms, p_data);
    return query
      select 'run', null::bigint, c.* from errand.granted_jobs(v_now) c where c.place = any (v_rows);
    if v_started is not null then perform errand.free_unique(v_started, true); end if;
  end if;
  for verdict, at_ms, id in
    select case when r.id = any (v_used) then 'turn'
                when not r.id = any (v_fit) and exists (
                  select from errand.live l
                   where l.held is null and l.turn is not null and l.state = 3 /* ready */ and l.queue = r.queue
                     and l.lane = r.lane) then case when r.id = any (v_full) then 'full' else 'again' end
                else r.verdict end, r.at, r.id
      from unnest(v_rights, v_queues, v_in, v_verdicts, v_times) as r (id, queue, lane, verdict, at)
  loop
    return next;
  end loop;
end $$;
