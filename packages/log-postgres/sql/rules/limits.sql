-- Limits. Only `admit` makes a job with a limit ready, and it holds the limit's row while it does. It counts the jobs that are
-- ready or running in a later statement than the one that has locked the row. So there are never more than the limit says.

/*
 * How many more jobs a limit has room for, or one of its keys with its own values. Null: any number. Tokens are counted by the
 * generic cell rate algorithm (ITU-T I.371): `tat` is the moment at which all of them are there again. `starts`: an outage must
 * not pile up jobs that were let go and have not started.
 */
create function errand.room_of(
  p_lim text, p_key text, p_total integer, p_rate_ms double precision, p_burst integer, p_tat timestamptz,
  p_closed_until timestamptz, p_now timestamptz
) returns table (jobs bigint, places bigint, tokens bigint, starts bigint, held bigint) language sql stable as $$
  select case when p_closed_until > p_now then 0 else case when least(r.places, r.tokens, r.starts) < 0 then 0 else least(r.places, r.tokens, r.starts) end end,
         r.places, r.tokens, r.starts, r.held
    from (
      select p_total - h.held as places, p_burst - h.ready as starts, h.held,
             floor(p_burst - greatest(coalesce(date_part('epoch', p_tat - p_now) * 1000, 0), 0) / p_rate_ms + 1e-6)::bigint as tokens
        from (
          select count(*) as held, count(*) filter (where l.state = 3 /* ready */) as ready
            from (
              (select l.state from errand.live l
                where p_key is null and l.lim = p_lim and l.held is null
                limit case when p_total is null and p_burst is null then 1 end)
              union all
              (select l.state from errand.live l
                where l.lim = p_lim and l.lim_key = p_key and l.held is null
                limit case when p_total is null and p_burst is null then 1 end)) l) h) r
$$;

-- When there may be room again, where there is none now. Null: as soon as one of its jobs has ended.
create function errand.room_again_at(
  p_places bigint, p_tokens bigint, p_rate_ms double precision, p_burst integer, p_tat timestamptz,
  p_closed_until timestamptz, p_now timestamptz
) returns timestamptz language sql immutable as $$
  select case
    when p_closed_until > p_now then p_closed_until
    when p_places <= 0 then null
    -- As many tokens as come in a quarter of a second: not each one of a fast rate.
    when p_tokens <= 0
    then p_tat - (p_burst - least(greatest(ceil(250 / p_rate_ms), 1), p_burst)) * p_rate_ms * interval '1 millisecond'
    else p_now + interval '1 second' end
$$;

/*
 * Lets go jobs that wait at these limits. p_keys names the keys where a job has come to wait, or has left; null: the limit as a
 * whole. It waits for nobody: a limit that another transaction has locked gets a note, and is answered as pending. A key with a
 * job that another transaction has locked gets a note, too.
 */
create function errand.admit(p_lims text[], p_keys text[], p_publish_after timestamptz)
returns table (lim text, id uuid, queue text, lane smallint, pending boolean) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_paused text[] := array(select p.name from errand.paused_queues p);
  v_name text;
  v_limit errand.limits;
  v_keys text[];
  v_room record;
  v_free bigint;
  v_each bigint;
  v_count bigint;
  v_admitted bigint;
  v_number bigint;
  v_turn bigint;
  v_tat timestamptz;
  v_admit_at timestamptz;
begin
  for v_name in select distinct t.lim from unnest(p_lims) as t (lim) order by 1 loop
    select m.* into v_limit from errand.limits m where m.name = v_name for update skip locked;
    -- It has no row before its first job waits. Only one transaction at a time makes it, and nobody waits for that one.
    if not found and not exists (select from errand.limits m where m.name = v_name)
      and pg_try_advisory_xact_lock(hashtext('errand limit'), hashtext('errand' || v_name))
    then
      insert into errand.limits (name) values (v_name) on conflict do nothing;
      select m.* into v_limit from errand.limits m where m.name = v_name for update skip locked;
    end if;
    if v_limit.name is distinct from v_name then
      insert into errand.limit_notes (lim, lim_key)
      select distinct v_name, t.key from unnest(p_lims, p_keys) as t (lim, key) where t.lim = v_name;
      return query select v_name, null::uuid, null::text, null::smallint, true;
      continue;
    end if;

    -- A key that has not waited before comes after all others but the one that was let go last.
    insert into errand.limit_keys as k (name, key, turn, waits)
    select distinct v_name, t.key, v_limit.turn - 1, true
      from unnest(p_lims, p_keys) as t (lim, key) where t.lim = v_name and t.key is not null order by 2
    on conflict (name, key) do update set waits = true, admit_at = null where not k.waits;

    if not v_limit.declared then
      -- Its jobs wait until a worker declares it. The row shows that they do.
      delete from errand.limit_keys k
       where k.name = v_name and k.key = any (array(select t.key from unnest(p_lims, p_keys) as t (lim, key) where t.lim = v_name))
         and not exists (select from errand.live l where l.lim = v_name and l.lim_key = k.key and l.at_limit);
      delete from errand.limits m
       where m.name = v_name and not exists (select from errand.limit_keys k where k.name = v_name);
      continue;
    end if;

    select r.* into v_room from errand.room_of(
      v_name, null, v_limit.total, v_limit.rate_ms, v_limit.burst, v_limit.tat, v_limit.closed_until, v_now) r;
    v_free := least(v_room.jobs, 1000);
    v_admitted := 0;
    v_turn := v_limit.turn;
    while v_free > 0 loop
      v_keys := array(
        select k.key from errand.limit_keys k where k.name = v_name and k.waits order by k.turn limit least(v_free, 100));
      exit when v_keys = '{}';
      -- Nobody is let go twice while another key waits for its first.
      v_each := v_free / cardinality(v_keys);
      v_number := nextval('errand.events_seq');
      return query
        with room as materialized (
          select k.key, t.ord, k.tat, k.closed_until, r.jobs, r.places, r.tokens, r.held, least(v_each, r.jobs) as wanted
            from unnest(v_keys) with ordinality as t (key, ord)
            join errand.limit_keys k on k.name = v_name and k.key = any (array[t.key])
           cross join lateral errand.room_of(
             v_name, k.key, v_limit.per_key, v_limit.key_rate_ms, v_limit.key_burst, k.tat, k.closed_until, v_now) r),
        picked as materialized (
          select room.key, h.id
            from room
           cross join lateral (
             select l.id
               -- Not more: all of them may be of a queue that is paused.
               from (select w.id, w.lane, w.seq from errand.live w
                      where w.lim = v_name and w.lim_key = room.key and w.at_limit
                      order by w.lane, w.seq limit 1000) w
               join errand.live l on l.id = any (array[w.id])
              -- The index on ids must find it. `coalesce` prevents the use of the one on jobs that wait.
              where coalesce(l.at_limit, false) and age(l.xmin) >= 0 and not l.queue = any (v_paused) and l.version < 2147483647
              order by w.lane, w.seq limit room.wanted for update of l skip locked) h),
        woken as (
          update errand.live l
             set state = 3 /* ready */, held = null, at_limit = null, version = l.version + 1, publish_after = p_publish_after,
                 publishes = 0, before = l.last,
                 turn = case when l.share is not null then errand.turn_of(l.queue, l.lane, l.share, null) end,
                 last = errand.link_of(v_number, hashtext(l.name) # l.version # coalesce(hash_array(l.tags), 0))
            from picked where l.id = any (array[picked.id])
          returning l.*),
        noted as (
          insert into errand.events (link, jobs, befores, version, type, state, name, queue, tags, run, attempt)
          select w.last, array_agg(w.id),
                 case when min(w.before) = max(w.before) then array[min(w.before)] else array_agg(w.before) end,
                 w.version, 3 /* unblocked event */, 3 /* ready */, w.name, w.queue, w.tags, w.run, w.attempt
            from woken w
           group by w.last, w.version, w.name, w.queue, w.tags, w.run, w.attempt),
        taken as materialized (select picked.key, count(*) as n from picked group by picked.key),
        counted as materialized (
          select room.*, coalesce(p.n, 0) as n,
                 case when p.n > 0 and v_limit.key_rate_ms is not null
                      then greatest(room.tat, v_now) + p.n * v_limit.key_rate_ms * interval '1 millisecond' else room.tat end as next_tat,
                 coalesce(p.n, 0) = room.wanted and coalesce(room.jobs > coalesce(p.n, 0), true) as waits
            from room left join taken p on p.key = room.key),
        next as materialized (
          select c.*,
                 case when c.waits then null
                      when c.n = c.wanted
                      then errand.room_again_at(c.places - c.n, c.tokens - c.n, v_limit.key_rate_ms, v_limit.key_burst, c.next_tat,
                                              c.closed_until, v_now)
                      when v_paused <> '{}' then v_now + interval '1 second' end as admit_at,
                 greatest(c.next_tat, c.closed_until) as kept_until
            from counted c),
        -- Each key that was looked at has let go a job, or leaves the line: full keys must not keep others from their turn.
        turned as (
          update errand.limit_keys k
             set turn = case when n.n > 0 then v_turn + 2 * n.ord else k.turn end, tat = n.next_tat, waits = n.waits,
                 admit_at = case when n.waits or n.admit_at is not null then n.admit_at when n.kept_until > v_now then n.kept_until end
            from next n
           where k.name = v_name and k.key = any (array[n.key])
             and (n.waits or n.admit_at is not null or n.kept_until > v_now or n.held + n.n > 0)),
        idle as (
          delete from errand.limit_keys k using next n
           where k.name = v_name and k.key = any (array[n.key])
             and not (n.waits or n.admit_at is not null or coalesce(n.kept_until > v_now, false) or n.held + n.n > 0)),
        -- Somebody has locked a job that waits, or its row cannot be worked with.
        missed as (
          insert into errand.limit_notes (lim, lim_key)
          select v_name, n.key from next n
           where n.n < n.wanted and v_paused = '{}'
             and exists (
               select from errand.live l
                where l.lim = v_name and l.lim_key = n.key and l.at_limit
                  and not exists (select from picked where picked.id = l.id)))
        select v_name, w.id, w.queue, w.lane, false from woken w;
      get diagnostics v_count = row_count;
      v_turn := v_turn + 2 * cardinality(v_keys);
      v_free := v_free - v_count;
      v_admitted := v_admitted + v_count;
    end loop;

    v_tat := case when v_admitted > 0 and v_limit.rate_ms is not null
                  then greatest(v_limit.tat, v_now) + v_admitted * v_limit.rate_ms * interval '1 millisecond' else v_limit.tat end;
    v_admit_at := null;
    if v_free = 0 and exists (select from errand.limit_keys k where k.name = v_name and k.waits) then
      -- It may have stopped although there is room: then the next sweep goes on.
      v_admit_at := case when coalesce(v_room.jobs > v_admitted, true) then v_now
        else errand.room_again_at(v_room.places - v_admitted, v_room.tokens - v_admitted, v_limit.rate_ms, v_limit.burst, v_tat,
                                v_limit.closed_until, v_now) end;
    end if;
    if (v_turn, v_tat, v_admit_at) is distinct from (v_limit.turn, v_limit.tat, v_limit.admit_at) then
      update errand.limits m set turn = v_turn, tat = v_tat, admit_at = v_admit_at where m.name = v_name;
    end if;
  end loop;
end $$;

/*
 * The limits of jobs that have just ended, or that wait again. Answers a line for each job that may go now: `next`, one of these
 * jobs of the same limit, then the job, its lane and its queue; and `pending id`. p_inside: the caller's transaction must not lock the
 * row of a limit, because it may stay open for long.
 */
create function errand.admit_after(p_ids uuid[], p_lims text[], p_keys text[], p_publish_after timestamptz, p_inside boolean)
returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  if p_inside then
    insert into errand.limit_notes (lim, lim_key)
    select distinct t.lim, t.key from unnest(p_lims, p_keys) as t (lim, key);
    return null;
  end if;
  return (
    select string_agg(case when a.pending then concat_ws(E'\t', 'pending', t.id)
                           else concat_ws(E'\t', 'next', t.id, a.id, a.lane, a.queue) end, E'\n')
      from errand.admit(p_lims, p_keys, p_publish_after) a
      join (select distinct on (u.lim) u.lim, u.id from unnest(p_lims, p_ids) as u (lim, id) order by u.lim) t on t.lim = a.lim);
end $$;

-- Handles the notes about limits. p_due: also the limits and keys whose time has come.
create function errand.admit_noted(p_limit integer, p_publish_after timestamptz, p_due boolean)
returns table (id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_notes bigint[];
  v_lims text[];
  v_keys text[];
begin
  with notes as materialized (
    select n.id, n.lim, n.lim_key from errand.limit_notes n order by n.id limit p_limit for update skip locked)
  select array_agg(notes.id), array_agg(notes.lim), array_agg(notes.lim_key) into v_notes, v_lims, v_keys from notes;
  if v_notes is not null then
    delete from errand.limit_notes n where n.id = any (v_notes);
    perform errand.set_aside(w.id, 'its number of events is out of bounds')
       from (select distinct t.lim, t.key from unnest(v_lims, v_keys) as t (lim, key)) t
      cross join lateral (
        select l.id, l.version from errand.live l
         where l.lim = t.lim and l.lim_key = t.key and l.at_limit order by l.lane, l.seq limit 1) w
      where w.version = 2147483647;
  end if;
  if p_due then
    select v_lims || array_agg(d.name), v_keys || array_agg(d.key) into v_lims, v_keys
      from ((select m.name, null as key, m.admit_at from errand.limits m where m.admit_at <= v_now)
            union all
            (select k.name, k.key, k.admit_at from errand.limit_keys k where k.admit_at <= v_now order by k.admit_at limit p_limit)) d;
  end if;
  if v_lims is null then return; end if;
  return query
    select a.id, a.queue, a.lane from errand.admit(v_lims, v_keys, p_publish_after) a where not a.pending;
end $$;

-- What was noted because a row was locked, or because it was much.
create function errand.pass_notes(p_limit integer, p_publish_after timestamptz)
returns table (queue text, id uuid, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
begin
  return query select k.queue, k.id, k.lane from errand.pass_noted(p_limit, p_publish_after) k where k.kind = 'ticket';
  return query select r.queue, r.id, r.lane from errand.receive_noted(p_limit, p_publish_after) r;
  return query select a.queue, a.id, a.lane from errand.admit_noted(p_limit, p_publish_after, false) a;
end $$;

/*
 * Writes the limits that still have the revision that they had when they were read (0: nobody had declared it). Without a body it
 * removes them. Answers rows of kind `saved` (with the name) and `ticket`. Every parameter is the text of an array with a place
 * for each.
 */
create function errand.save_limits(
  p_names text, p_afters text, p_totals text, p_per_keys text, p_rates text, p_bursts text, p_key_rates text, p_key_bursts text,
  p_bodies text
) returns table (kind text, name text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_names text[] := p_names::text[];
  v_saved text[];
begin
  if exists (
    select from unnest(p_totals::integer[], p_per_keys::integer[], p_bursts::integer[], p_key_bursts::integer[],
                       p_rates::double precision[], p_key_rates::double precision[], v_names, p_bodies::text[])
             as t (total, per_key, burst, key_burst, rate, key_rate, name, body)
     where t.total < 1 or t.per_key < 1 or t.burst < 1 or t.key_burst < 1 or not t.rate between 0.000001 and 3153600000000
        or not t.key_rate between 0.000001 and 3153600000000 or (t.rate is null) <> (t.burst is null)
        or (t.key_rate is null) <> (t.key_burst is null) or octet_length(t.name) > 512 or octet_length(t.body) > 1048576)
  then
    perform errand.out_of_bounds('a limit', p_names);
  end if;
  -- In one order, and read in a later statement than they are locked.
  perform from errand.limits m where m.name = any (v_names) order by m.name for update;
  with given as (
    select * from unnest(v_names, p_afters::integer[], p_totals::integer[], p_per_keys::integer[], p_rates::double precision[],
                         p_bursts::integer[], p_key_rates::double precision[], p_key_bursts::integer[], p_bodies::text[])
                as t (name, after, total, per_key, rate, burst, key_rate, key_burst, body)),
  changed as (
    update errand.limits m
       set revision = case when t.body is null then 0 when t.after = 0 then 1 + floor(random() * 1073741824)::integer
                           else t.after + 1 end,
           declared = t.body is not null, total = t.total, per_key = t.per_key, rate_ms = t.rate, burst = t.burst,
           key_rate_ms = t.key_rate, key_burst = t.key_burst, body = coalesce(t.body, '{}')
      from given t where m.name = t.name and m.revision = t.after
    returning m.name),
  added as (
    insert into errand.limits as m (name, revision, declared, total, per_key, rate_ms, burst, key_rate_ms, key_burst, body)
    select t.name, 1 + floor(random() * 1073741824)::integer, true, t.total, t.per_key, t.rate, t.burst, t.key_rate, t.key_burst,
           t.body
      from given t
     where t.after = 0 and t.body is not null and not exists (select from errand.limits m where m.name = t.name)
     order by t.name
    on conflict do nothing
    returning m.name)
  select array_agg(c.name) into v_saved from (select changed.name from changed union all select added.name from added) c;
  if v_saved is null then return; end if;
  return query select 'saved', s.name, null::uuid, null::text, null::smallint from unnest(v_saved) as s (name);
  return query select 'ticket', null::text, a.id, a.queue, a.lane from errand.reopen_limits(v_saved) a;
end $$;

-- What was full or closed may have room now.
create function errand.reopen_limits(p_names text[]) returns table (id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_lims text[];
  v_keys text[];
begin
  select array_agg(d.name), array_agg(d.key) into v_lims, v_keys
    from (select s.name, null as key from unnest(p_names) as s (name)
          union all
          select k.name, k.key from errand.limit_keys k where k.name = any (p_names)) d;
  return query
    select a.id, a.queue, a.lane from errand.admit(v_lims, v_keys, errand.clock()) a where not a.pending;
end $$;

/*
 * Closes a limit (p_key null), one of its keys, or those of a job, for p_for_ms from now; 0 opens it. A longer closing stays. Answers
 * a row of kind `found`, and rows of kind `ticket`.
 */
create function errand.close_limit(
  p_name text, p_key text, p_job uuid, p_for_ms bigint, p_by text, p_reason text, p_lock_timeout text
) returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_name text := p_name;
  v_key text := p_key;
  v_until timestamptz := v_now + case when p_for_ms not between 0 and 3153600000000 then errand.out_of_bounds('a duration', p_for_ms)
                                      else p_for_ms end * interval '1 millisecond';
begin
  if octet_length(p_name) > 512 or octet_length(p_key) > 2048 or octet_length(p_by) > 4096 or octet_length(p_reason) > 16384 then
    perform errand.out_of_bounds('a limit', p_name);
  end if;
  perform set_config('lock_timeout', p_lock_timeout, true);
  if p_job is not null then
    select j.lim, j.lim_key into v_name, v_key from errand.known j where j.id = p_job;
  end if;
  -- A limit without keys has one, which is empty: whoever closes it closes the limit.
  v_key := nullif(v_key, '');
  if v_name is null then return; end if;
  kind := 'found';
  return next;
  insert into errand.limits (name) values (v_name) on conflict do nothing;
  perform from errand.limits m where m.name = v_name for update;
  if v_key is null then
    update errand.limits m
       set closed_until = case when p_for_ms > 0 then v_until end, closed_by = p_by, closed_reason = p_reason
     where m.name = v_name and (p_for_ms = 0 or m.closed_until is null or m.closed_until <= v_until);
  else
    insert into errand.limit_keys as k (name, key, turn, waits, closed_until, closed_by, closed_reason)
    select v_name, v_key, m.turn - 1, false, case when p_for_ms > 0 then v_until end, p_by, p_reason
      from errand.limits m where m.name = v_name
    on conflict (name, key) do update
       set closed_until = excluded.closed_until, closed_by = p_by, closed_reason = p_reason
     where p_for_ms = 0 or k.closed_until is null or k.closed_until <= v_until;
  end if;
  return query
    select 'ticket', a.id, a.queue, a.lane from errand.admit(array[v_name], array[v_key], v_now) a where not a.pending;
end $$;
