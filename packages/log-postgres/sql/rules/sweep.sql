-- What relays do: they handle due, lost and unpublished jobs, and keys that could not be passed on. Any number of relays may
-- call this; one at a time works, and it skips rows that others have locked. Answers rows of kind `ran`, `ticket`,
-- `republished`, `failed` (`note`: run, attempt and error, with tabs between), `lost`, `schedule` (due; `note`: its name),
-- `full`, `next` (`note`: milliseconds), `partitions` (some must be made).

create function errand.sweep(
  p_limit integer, p_republish boolean, p_own text[], p_skip text[], p_schedules text[], p_schedule_jobs text[])
returns table (kind text, id uuid, queue text, lane smallint, note text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_paused text[];
  v_others text[];
  v_due integer := 0;
  v_lost integer := 0;
  v_unpublished integer := 0;
  v_ticks integer := 0;
  v_next timestamptz;
  v_due_at timestamptz;
  v_full boolean := false;
begin
  if not pg_try_advisory_xact_lock(hashtext('errand sweep'), hashtext('errand')) then return; end if;
  kind := 'ran';
  return next;
  -- Noted soon after a failover: the server forgets at its next start where replay ended.
  if (select m.timeline <> errand.timeline() from errand.meta m) then perform errand.note_timeline(); end if;
  v_paused := array(select p.name from errand.paused_queues p);

  for kind, id, queue, lane in select d.kind, d.id, d.queue, d.lane from errand.sweep_due(p_limit, v_now) d loop
    v_due := v_due + 1;
    if kind = 'ticket' and not queue = any (v_paused) then return next; end if;
  end loop;

  if errand.note_sweep(v_now) then
    for kind, id, queue, lane, note in
      select l.kind, l.id, l.queue, l.lane, l.note from errand.sweep_lost(p_limit, v_now) l
    loop
      if kind <> 'next' then v_lost := v_lost + 1; end if;
      if kind in ('lost', 'failed') then return next; end if;
      if kind in ('ready', 'next') then
        if kind = 'ready' then
          kind := 'lost';
          return next;
        end if;
        kind := 'ticket';
        if not queue = any (v_paused) then return next; end if;
      end if;
    end loop;
  end if;

  note := null;
  for kind, id, queue, lane in
    select k.kind, k.id, k.queue, k.lane from errand.pass_noted(p_limit, v_now + interval '30 seconds') k
    union all
    select 'ticket', r.id, r.queue, r.lane from errand.receive_noted(p_limit, v_now + interval '30 seconds') r
  loop
    if kind = 'full' then v_full := true;
    elsif not queue = any (v_paused) then return next;
    end if;
  end loop;
  kind := 'ticket';
  for id, queue, lane in
    select a.id, a.queue, a.lane from errand.admit_noted(p_limit, v_now + interval '30 seconds', true) a
  loop
    return next;
  end loop;

  if p_republish then
    -- A live worker republishes its queues itself, or takes their jobs from the log. No other relay may move these jobs.
    v_others := array(
      select distinct q.name from errand.workers w cross join lateral unnest(w.queues) as q (name)
       where w.lease_until >= v_now and q.name <> all (p_own));
    kind := 'republished';
    for id, queue, lane in
      select u.id, u.queue, u.lane from errand.sweep_unpublished(p_limit, v_now, v_paused || p_skip || v_others) u
    loop
      v_unpublished := v_unpublished + 1;
      return next;
    end loop;
  end if;

  -- Deletes the grants of dead workers. Heartbeats delete those of live workers.
  delete from errand.grants g
   where not exists (select from errand.workers w where w.id = g.worker and w.lease_until >= v_now)
     and not exists (select from errand.runs r where r.place = g.ctid and r.worker = g.worker);
  delete from errand.workers w
   where w.lease_until < v_now - interval '1 day'
     and not exists (select from errand.grants g where g.worker = any (array[w.id]));

  id := null;
  queue := null;
  lane := null;
  if cardinality(p_schedules) + cardinality(p_schedule_jobs) > 0 then
    kind := 'schedule';
    for note, v_due_at in
      select s.name, s.due_at from errand.schedules s
       where s.due_at is not null
         and case when s.declared then s.name = any (p_schedules) else s.job = any (p_schedule_jobs) end
       order by s.due_at limit p_limit + 1
    loop
      if v_due_at > v_now or v_ticks = p_limit then
        v_next := v_due_at;
        exit;
      end if;
      v_ticks := v_ticks + 1;
      return next;
    end loop;
  end if;
  note := null;
  if v_full or p_limit in (v_due, v_lost, v_unpublished) then
    kind := 'full';
    return next;
  end if;
  if (select w.partitions_until < (v_now at time zone 'UTC')::date + 13 from errand.sweeps w) then
    kind := 'partitions';
    return next;
  end if;
  v_next := least(v_next, (
    select min(l.run_at) from errand.live l where l.run_at is not null and l.state in (1 /* scheduled */, 8 /* suspended */)),
    (select min(m.admit_at) from errand.limits m), (select min(k.admit_at) from errand.limit_keys k where k.admit_at is not null));
  if v_next is not null then
    kind := 'next';
    note := greatest(errand.ms(v_next) - errand.ms(v_now), 0)::text;
    return next;
  end if;
end $$;

/*
 * Notes that a sweep ran, and answers whether runs may be called lost. During a gap (log down, failover, clock jump, laptop
 * asleep) no worker could renew its lease, so the first sweep after it would call the whole fleet lost. It also notes for
 * prune if the clock has gone back: jobs that end from now on lie before the place that prune has reached.
 */
create function errand.note_sweep(p_now timestamptz) returns boolean language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_hold timestamptz;
begin
  update errand.sweeps w
     set last_at = p_now,
         common_tx = pg_snapshot_xmin(pg_current_snapshot()),
         backs = w.backs + coalesce((p_now < w.last_at)::integer, 0),
         back_to = case when p_now < w.last_at then least(w.back_to, p_now - interval '1 hour') else w.back_to end,
         hold_until = case
           when w.last_at is null or p_now < w.last_at or p_now - w.last_at > leases.shortest / 3
           then p_now + leases.longest else w.hold_until end
    from (select case when coalesce(min(k.lease_ms) filter (where k.lease_until >= p_now), 30000) is not null
                      then least(greatest(coalesce(min(k.lease_ms) filter (where k.lease_until >= p_now), 30000), 0),
                                 3153600000000)
                 end * interval '1 millisecond' as shortest,
                 case when coalesce(max(k.lease_ms), 30000) is not null
                      then least(greatest(coalesce(max(k.lease_ms), 30000), 0), 3153600000000)
                 end * interval '1 millisecond' as longest
            from errand.workers k) leases
   where w.one
  returning w.hold_until into v_hold;
  return v_hold is null or v_hold <= p_now;
end $$;

-- Gives overdue jobs a new grace and answers them, queue by queue. Queues that are left alone are not read at all.
create function errand.sweep_unpublished(p_limit integer, p_now timestamptz, p_except text[])
returns table (id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_left integer := p_limit;
  v_queue text := '';
  v_ids uuid[];
begin
  while v_left > 0 loop
    -- Not min(): after a vacuum without statistics its plan reads every job that is ready.
    v_queue := (select l.queue from errand.live l
                 where l.held is null and l.state = 3 /* ready */ and l.queue > v_queue order by l.queue limit 1);
    exit when v_queue is null;
    continue when v_queue = any (p_except);
    v_ids := array(
      select l.id from errand.live l
       where l.id = any (array(select o.id from errand.overdue_jobs(v_queue, p_now, v_left + 1000) o))
         and l.state = 3 /* ready */ and l.publish_after <= p_now
       order by l.seq limit v_left for update skip locked);
    v_left := v_left - cardinality(v_ids);
    return query
      update errand.live l
         set publish_after = p_now
               + least(interval '30 seconds' * power(2, least(greatest(l.publishes, 0), 10)), interval '1 hour')
       where l.id = any (v_ids)
      returning l.id, l.queue, l.lane;
  end loop;
end $$;

-- The broker has accepted these republished tickets: the grace of their jobs doubles. Above the cap it stays the same.
create function errand.published(p_ids uuid[]) returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  with l as materialized (
    select l.id from errand.live l
     where l.id = any (p_ids) and l.state = 3 /* ready */ and l.publishes < 7
     order by l.id for update skip locked)
  update errand.live set publishes = publishes + 1 from l where live.id = l.id;
end $$;

-- Starts the grace of ready jobs over, queue by queue, the longest grace first. Looks at 10,000 jobs at the front of each lane:
-- those behind them were never published again, so they have at most a first grace left. Skips rows that a claim has locked.
create function errand.expedite(p_queues text[], p_limit integer, p_left_ms bigint) returns bigint language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_now timestamptz := errand.clock();
  v_count integer := 0;
  v_queue text;
  v_ids uuid[];
begin
  foreach v_queue in array p_queues loop
    exit when v_count >= p_limit;
    v_ids := array(
      select f.id
        from errand.open_lanes(v_queue) as o (lane)
       cross join lateral (
         select l.id, l.publish_after from errand.live l
          where l.held is null and l.state = 3 /* ready */ and l.queue = v_queue and l.lane = o.lane
          order by l.seq limit 10000) f
       where f.publish_after > v_now + p_left_ms * interval '1 millisecond'
       -- Some more, because claims may have locked the first ones.
       order by f.publish_after desc limit p_limit - v_count + 1000);
    v_ids := array(
      select l.id from errand.live l
       where l.id = any (v_ids) and l.state = 3 /* ready */
         and l.publish_after > v_now + p_left_ms * interval '1 millisecond'
       order by l.publish_after desc limit p_limit - v_count for update skip locked);
    update errand.live l set publish_after = v_now, publishes = 0 where l.id = any (v_ids);
    v_count := v_count + cardinality(v_ids);
  end loop;
  return v_count;
end $$;
