-- Ordering keys. Each row names the only job of its key that may be ready or running. A transaction that takes or passes a
-- key locks its row first, and decides in a later statement, which sees everything committed before it got the lock.

-- Locks the rows of these keys in key order, waiting for them.
create function errand.lock_keys(p_queues text[], p_keys text[]) returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  perform 1 from (
    select from (select distinct t.queue, t.key from unnest(p_queues, p_keys) as t (queue, key) order by 1, 2) d
      join errand.keys k on k.queue = any (array[d.queue]) and k.key = d.key
     order by d.queue, d.key
       for update of k) locked;
end $$;

/*
 * Which of these jobs would have to wait for another transaction, by their places. It takes each key and gives it back,
 * because a key that another open transaction has inserted cannot be seen. Parameters are texts, as those of `append`.
 */
create function errand.locked_keys(p_queues text, p_keys text, p_names text, p_unique_keys text) returns text
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_queues text[] := p_queues::text[];
  v_keys text[] := p_keys::text[];
  v_names text[] := p_names::text[];
  v_unique_keys text[] := p_unique_keys::text[];
  v_locked text;
begin
  perform set_config('lock_timeout', '1ms', true);
  for v_at in 1 .. cardinality(v_queues) loop
    begin
      if v_keys[v_at] is not null then
        insert into errand.keys as k (queue, key, holder) values (v_queues[v_at], v_keys[v_at], gen_random_uuid())
        on conflict (queue, key) do update set holder = k.holder;
      end if;
      if v_unique_keys[v_at] is not null then
        insert into errand.unique_keys (name, key, job_id) values (v_names[v_at], v_unique_keys[v_at], gen_random_uuid())
        on conflict (name, key) do nothing;
        perform 1 from errand.unique_keys u
         where u.name = v_names[v_at] and u.key = v_unique_keys[v_at] and coalesce(u.free_at, 'infinity') <= errand.clock()
           for update;
      end if;
      raise exception 'errand: it is free' using errcode = 'ERR03';
    exception
      when sqlstate 'ERR03' then null;
      when lock_not_available then v_locked := concat_ws(',', v_locked, v_at);
    end;
  end loop;
  return v_locked;
end $$;

/*
 * Passes on each of these keys whose holder has ended (it has no live row) to the live job with the lowest sequence. A
 * blocked job becomes ready; a scheduled job becomes holder and stays scheduled. If no job is left, the key's row is deleted.
 * It does not wait for a row that another transaction has locked, for example a dispatcher's: it leaves a note, as it does
 * for a job that a later transaction than this one has stored. A job with a limit waits there, and is answered as pending.
 */
create function errand.pass_keys(p_queues text[], p_keys text[], p_publish_after timestamptz)
returns table (queue text, key text, id uuid, lane smallint, pending boolean) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_queues text[];
  v_keys text[];
  v_number bigint := nextval('errand.events_seq');
  v_heirs uuid[] := '{}';
begin
  select array_agg(locked.queue), array_agg(locked.key) into v_queues, v_keys
    from (select k.queue, k.key
            from (select distinct t.queue, t.key from unnest(p_queues, p_keys) as t (queue, key)) d
            join errand.keys k on k.queue = any (array[d.queue]) and k.key = d.key
           order by d.queue, d.key
             for update of k skip locked) locked;

  if coalesce(cardinality(v_keys), 0) < cardinality(p_keys) then
    return query
      with missed as (
        select distinct t.queue, t.key
          from unnest(p_queues, p_keys) as t (queue, key)
          join errand.keys k on k.queue = any (array[t.queue]) and k.key = t.key
         where not exists (select from unnest(v_queues, v_keys) as l (queue, key) where l.queue = t.queue and l.key = t.key)),
      noted as (insert into errand.key_notes (queue, key) select missed.queue, missed.key from missed)
      select missed.queue, missed.key, null::uuid, null::smallint, true from missed;
    if v_keys is null then return; end if;
  end if;

  for queue, key, id, lane, pending in
    with ended as materialized (
      select k.queue, k.key
        from unnest(v_queues, v_keys) as t (queue, key)
        join errand.keys k on k.queue = any (array[t.queue]) and k.key = t.key
       where not exists (select from errand.live l where l.id = any (array[k.holder]))),
    heir as materialized (
      select ended.queue, ended.key, next.id, next.state, next.is_late, next.has_needs, next.lim, next.lim_key
        from ended
        left join lateral (
          select l.id, l.state, not age(l.xmin) >= 0 as is_late, coalesce(l.has_needs, false) as has_needs, l.lim, l.lim_key
            from errand.live l
           where l.queue = ended.queue and l.key = ended.key
             and l.state in (1 /* scheduled */, 2 /* blocked */)
           order by l.seq limit 1) next on true),
    late as (
      insert into errand.key_notes (queue, key) select heir.queue, heir.key from heir where heir.is_late),
    freed as (
      delete from errand.keys k using heir
       where k.queue = any (array[heir.queue]) and k.key = heir.key and heir.id is null),
    passed as (
      update errand.keys k set holder = heir.id from heir
       where k.queue = any (array[heir.queue]) and k.key = heir.key and not heir.is_late),
    -- It has come to its limit. The row of a limit is never locked here: a note tells that it waits.
    gated as (
      update errand.live l set at_limit = true
        from heir
       where l.id = any (array[heir.id]) and heir.state = 2 /* blocked */ and not heir.is_late and not heir.has_needs
         and heir.lim is not null),
    told as (
      insert into errand.limit_notes (lim, lim_key)
      select distinct heir.lim, heir.lim_key from heir
       where heir.state = 2 /* blocked */ and not heir.is_late and not heir.has_needs and heir.lim is not null),
    woken as (
      update errand.live l
         set state = 3 /* ready */, held = null, version = l.version + 1, publish_after = p_publish_after, publishes = 0,
             turn = case when l.share is not null then errand.turn_of(l.queue, l.lane, l.share, null) end,
             before = l.last,
             last = errand.link_of(v_number, hashtext(l.name) # l.version # coalesce(hash_array(l.tags), 0))
        from heir
       where l.id = any (array[heir.id]) and heir.state = 2 /* blocked */ and not heir.is_late and not heir.has_needs
         and heir.lim is null
      returning l.*),
    noted as (
      insert into errand.events (link, jobs, befores, version, type, state, name, queue, tags, run, attempt)
      select w.last, array_agg(w.id),
             case when min(w.before) = max(w.before) then array[min(w.before)] else array_agg(w.before) end,
             w.version, 3 /* unblocked event */, 3 /* ready */, w.name, w.queue, w.tags, w.run, w.attempt
        from woken w
       group by w.last, w.version, w.name, w.queue, w.tags, w.run, w.attempt)
    select w.queue, w.key, w.id, w.lane, false from woken w
    union all
    select heir.queue, heir.key, null::uuid, null::smallint, true from heir
     where heir.is_late or (heir.state = 2 /* blocked */ and not heir.has_needs and heir.lim is not null)
    union all
    select heir.queue, heir.key, heir.id, null::smallint, null from heir
     where heir.has_needs and heir.state = 2 /* blocked */ and not heir.is_late
  loop
    if pending is null then v_heirs := v_heirs || id;
    else return next;
    end if;
  end loop;
  -- Those hold their keys now, and may have to wait for what they need. That is read with their rows locked, which may be locked by
  -- whoever ends it: then there is a note.
  if v_heirs <> '{}' then
    return query
      select coalesce(l.queue, v_queues[1]), coalesce(l.key, v_keys[1]), a.id, a.lane, a.kind <> 'ticket'
        from errand.advance(v_heirs, p_publish_after) a
        left join errand.live l on a.kind = 'ticket' and l.id = any (array[a.id])
       where a.kind <> 'cancelled';
  end if;
end $$;

/* Passes on the keys of jobs that have just ended. Answers a line for each: `next id its-successor lane queue`, `pending id`. */
create function errand.pass_ended(p_holders uuid[], p_queues text[], p_keys text[], p_now timestamptz) returns text
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  return (
    select string_agg(case when p.pending then concat_ws(E'\t', 'pending', t.id)
                           else concat_ws(E'\t', 'next', t.id, p.id, p.lane, p.queue) end, E'\n')
      from errand.pass_keys(p_queues, p_keys, p_now) p
      join unnest(p_queues, p_keys, p_holders) as t (queue, key, id) on t.queue = p.queue and t.key = p.key);
end $$;

-- Handles the notes: a key whose row is still locked keeps its note.
create function errand.pass_noted_keys(p_limit integer, p_publish_after timestamptz)
returns table (queue text, id uuid, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_notes bigint[];
  v_queues text[];
  v_keys text[];
begin
  with notes as materialized (
    select n.id, n.queue, n.key from errand.key_notes n order by n.id limit p_limit for update skip locked)
  select array_agg(notes.id), array_agg(notes.queue), array_agg(notes.key) into v_notes, v_queues, v_keys from notes;
  if v_notes is null then return; end if;
  delete from errand.key_notes n where n.id = any (v_notes);
  return query
    select p.queue, p.id, p.lane from errand.pass_keys(v_queues, v_keys, p_publish_after) p where not p.pending;
end $$;
