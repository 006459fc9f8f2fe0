-- What jobs need. Each side of a race decides with the row of the waiting job locked, and reads the other side's fact in a later
-- statement. Nobody waits for the row of somebody else: what is locked, or was written by a later transaction, gets a note.

create function errand.is_met(p_mode smallint, p_state smallint) returns boolean language sql immutable
  return case p_mode when 1 /* succeeded need */ then p_state = 5 /* succeeded */
                     when 2 /* ended need */ then true
                     when 3 /* unsuccessful need */ then p_state <> 5 /* succeeded */ else true end;

-- Of these jobs those that may not start: a need is open, or can never be met.
create function errand.unmet(p_ids uuid[]) returns uuid[] language plpgsql stable
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  return array(
    select u.id from unnest(p_ids) as u (id)
     where exists (
       select from errand.needs n
        where n.child = any (array[u.id])
          and case when n.done is null then n.mode <> 4 /* called need */ else not errand.is_met(n.mode, n.done) end));
end $$;

-- What ended jobs have returned, or their errors.
create function errand.ends_of(p_ids uuid[]) returns table (id uuid, codec text, body text) language plpgsql stable
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
begin
  return query
    select distinct on (e.job_id) e.job_id, e.codec, e.body
      from (select e.job_id, e.codec, e.body, e.version from errand.events_of(p_ids, null) e
             where e.type in (6 /* succeeded event */, 12 /* failed event */, 14 /* cancelled event */)
            union all
            select k.job_id, k.codec, k.body, 0 from errand.kept_ends k where k.job_id = any (p_ids)) e
     order by e.job_id, e.version desc;
end $$;

-- Marks those of these jobs and flows that have not ended as needed, and locks them: whoever ends one then sees who needs it. Those that
-- are not free, or were changed by a later transaction, are passed over. Returns the ones that it has locked.
create function errand.mark_needed(p_ids uuid[]) returns uuid[] language plpgsql as $$
declare
  v_bound uuid[];
begin
  v_bound := array(
    select l.id from errand.live l
     where l.id = any (p_ids) and l.state <> 6 /* failed */ and age(l.xmin) >= 0 order by l.id for update skip locked)
    || array(
    select f.id from errand.flows f
     where f.id = any (p_ids) and f.state = 4 /* running */ order by f.id for share skip locked);
  update errand.live l set needed = true where l.id = any (v_bound) and l.needed is null;
  return v_bound;
end $$;

/*
 * Stores what new jobs need. What has ended already is met at once. What has not is locked, so that whoever ends it sees these needs.
 * In the caller's transaction, which may stay open for long, and where the row is locked, it leaves a note instead: the parent is
 * looked at again once the needs can be seen.
 */
create function errand.link_needs(
  p_children uuid[], p_parents uuid[], p_modes smallint[], p_names text[], p_new uuid[], p_inside boolean
) returns void language plpgsql as $$
declare
  v_others uuid[];
  v_bound uuid[] := '{}';
  v_ended uuid[];
begin
  if exists (
    select from unnest(p_children, p_parents, p_modes, p_names) as t (child, parent, mode, name)
     where t.parent is null or not coalesce(t.mode between 1 /* succeeded need */ and 3 /* unsuccessful need */, false) or octet_length(t.name) > 512)
    or exists (select from unnest(p_children) as t (child) group by t.child having count(*) > 1000)
  then
    perform errand.out_of_bounds('a need', p_parents);
  end if;
  -- Nobody else can see what this transaction has stored, so its rows are free; an earlier call of it did not know that others need them.
  update errand.live l set needed = true
   where l.id = any (p_parents) and not l.id = any (p_new) and l.needed is null
     and l.xmin::text = pg_current_xact_id_if_assigned()::xid::text;
  v_others := array(
    select distinct u.id
      from unnest(p_parents) as u (id)
      left join errand.live l on l.id = any (array[u.id])
      left join errand.flows f on f.id = any (array[u.id])
     where not u.id = any (p_new)
       and coalesce(l.xmin, f.xmin)::text is distinct from pg_current_xact_id_if_assigned()::xid::text);
  if v_others <> '{}' and not p_inside then
    v_bound := errand.mark_needed(v_others);
  end if;
  with stored as (
    insert into errand.needs (child, ord, parent, is_flow, mode, done, name)
    select t.child, row_number() over (partition by t.child order by t.ord) - 1, t.parent, f.id is not null, t.mode,
           case when f.id is not null then nullif(f.state, 4 /* running */)
                when l.id is null then x.state
                when l.state = 6 /* failed */ then l.state end,
           t.name
      from unnest(p_children, p_parents, p_modes, p_names) with ordinality as t (child, parent, mode, name, ord)
      left join errand.live l on l.id = any (array[t.parent])
      left join errand.ended x on x.id = any (array[t.parent])
      left join errand.flows f on f.id = any (array[t.parent])
    returning parent, is_flow, done, name),
  noted as (
    insert into errand.work_notes (kind, target)
    select distinct 2 /* ended note */, s.parent from stored s
     where s.done is null and s.parent = any (v_others) and not s.parent = any (v_bound))
  select array_agg(distinct s.parent) into v_ended
    from stored s where s.done is not null and s.name is not null and not s.is_flow;
  if v_ended is not null then
    update errand.needs n set codec = e.codec, body = e.body
      from errand.ends_of(v_ended) e
     where n.parent = any (array[e.id]) and n.child = any (p_children) and n.done is not null and n.name is not null;
  end if;
end $$;

/*
 * Writes to the needs of others how these jobs or flows have ended: at most 500 at a time, and notes do the rest. p_from: only those of
 * children from this one on. Answers the children, which are to be looked at again.
 */
create function errand.meet(p_parents uuid[], p_states smallint[], p_from uuid[]) returns uuid[] language plpgsql as $$
declare
  v_children uuid[];
  v_ords integer[];
  v_parents uuid[];
  v_states smallint[];
  v_named uuid[];
begin
  -- Only who ends a parent, or handles a note about it, locks its needs; all in one order.
  select array_agg(o.child), array_agg(o.ord), array_agg(o.parent), array_agg(o.state),
         array_agg(distinct o.parent) filter (where o.name is not null and not o.is_flow)
    into v_children, v_ords, v_parents, v_states, v_named
    from (select n.child, n.ord, n.parent, n.name, n.is_flow, p.state
            from (select * from unnest(p_parents, p_states, p_from) as u (id, state, from_child) order by u.id) p
           cross join lateral (
             select * from errand.needs n
              where n.parent = any (array[p.id]) and n.done is null
                and n.child >= coalesce(p.from_child, '00000000-0000-0000-0000-000000000000')
              order by n.child, n.ord limit 500 for update) n
           limit 500) o;
  if v_children is null then return '{}'; end if;
  update errand.needs n set done = t.state, codec = e.codec, body = e.body
    from unnest(v_children, v_ords, v_parents, v_states) as t (child, ord, parent, state)
    left join errand.ends_of(v_named) e on e.id = t.parent
   where n.child = any (array[t.child]) and n.ord = t.ord and n.done is null;
  if v_named is not null then
    update errand.needs n set codec = null, body = null
      from unnest(v_children, v_ords) as t (child, ord)
     where n.child = any (array[t.child]) and n.ord = t.ord and n.name is null and n.body is not null;
  end if;
  if cardinality(v_children) = 500 then
    insert into errand.work_notes (kind, target, other)
    select 2 /* ended note */, p.id,
           coalesce((select max(t.child::text)::uuid from unnest(v_children, v_parents) as t (child, parent) where t.parent = p.id),
                    p.from_child)
      from unnest(p_parents, p_from) as p (id, from_child)
     where exists (select from errand.needs n where n.parent = any (array[p.id]) and n.done is null);
  end if;
  return array(select distinct t.child from unnest(v_children) as t (child));
end $$;

/*
 * Looks at jobs again that may wait for their needs. One whose needs are met comes to its next gate; one with a need that can never be
 * met is cancelled. Calling it too often does no harm. Rows of kind `ticket`, `pending` (there is a note), `count` (the id of a flow
 * that has a note about its counts), and `cancelled`. p_tries: how often a note about the job has met a lock.
 */
create function errand.advance(p_ids uuid[], p_publish_after timestamptz, p_tries smallint[] default null)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_number bigint := nextval('errand.events_seq');
  v_ids uuid[];
  v_gone uuid[];
  v_needs uuid[];
  v_spoilt uuid[];
begin
  -- A job that was suspended may have called what has ended.
  if exists (
    select from errand.live l
     where l.id = any (p_ids) and l.state in (3 /* ready */, 4 /* running */, 8 /* suspended */) and l.has_needs)
  then
    return query select * from errand.return_calls(p_ids, p_publish_after, p_tries);
  end if;
  select array_agg(l.id), array_agg(l.id) filter (where l.version = 2147483647) into v_ids, v_spoilt
    from (select l.id, l.version from errand.live l
           where l.id = any (p_ids) and l.state in (1 /* scheduled */, 2 /* blocked */) and age(l.xmin) >= 0
           order by l.id for update skip locked) l;
  if coalesce(cardinality(v_ids), 0) < cardinality(p_ids) then
    return query
      with missed as (
        insert into errand.work_notes (kind, target, tries, at)
        select 1 /* job note */, t.id, least(t.tries + 1, 100), errand.try_again_at(v_now, t.tries)
          from unnest(p_ids, p_tries) as u (id, tries)
         cross join lateral (select u.id, coalesce(u.tries, 0)) as t (id, tries)
         where (v_ids is null or not t.id = any (v_ids))
           and exists (select from errand.live l where l.id = any (array[t.id]) and l.state in (1 /* scheduled */, 2 /* blocked */))
        returning 1)
      select 'pending', null::uuid, null::text, null::smallint from missed limit 1;
    if v_ids is null then return; end if;
  end if;
  if v_spoilt is not null then
    perform errand.set_aside(s.id, 'its number of events is out of bounds') from unnest(v_spoilt) as s (id);
    kind := 'pending';
    return next;
    v_ids := array(select u.id from unnest(v_ids) as u (id) where not u.id = any (v_spoilt));
  end if;

  -- A later statement than the one that has locked the rows: who has ended a parent before has either written it to the needs that are
  -- read here, or has not got the row, and has left a note.
  select array_agg(u.id), array_agg(n.parent) into v_gone, v_needs
    from unnest(v_ids) as u (id)
   cross join lateral (
     select n.parent from errand.needs n
      where n.child = any (array[u.id]) and n.done is not null and not errand.is_met(n.mode, n.done)
      order by n.ord limit 1) n;
  if v_gone is not null then
    return query select * from errand.cancel_unmet(v_gone, v_needs, v_now);
    v_ids := array(select u.id from unnest(v_ids) as u (id) where not u.id = any (v_gone));
  end if;

  return query
    with free as materialized (
      select l.id, l.lim, l.lim_key
        from unnest(v_ids) as u (id)
        join errand.live l on l.id = any (array[u.id])
        left join errand.keys k on k.queue = any (array[l.queue]) and k.key = l.key
       where l.state = 2 /* blocked */ and l.at_limit is null and (l.key is null or k.holder = l.id)
         and not exists (
           select from errand.needs n where n.child = any (array[l.id]) and n.done is null and n.mode <> 4 /* called need */)),
    -- The row of a limit is never locked here.
    gated as (
      update errand.live l set at_limit = true from free f where l.id = any (array[f.id]) and f.lim is not null),
    told as (
      insert into errand.limit_notes (lim, lim_key) select distinct f.lim, f.lim_key from free f where f.lim is not null),
    woken as (
      update errand.live l
         set state = 3 /* ready */, held = null, version = l.version + 1, publish_after = p_publish_after, publishes = 0,
             turn = case when l.share is not null then errand.turn_of(l.queue, l.lane, l.share, null) end,
             before = l.last,
             last = errand.link_of(v_number, hashtext(l.name) # l.version # coalesce(hash_array(l.tags), 0))
        from free f where l.id = any (array[f.id]) and f.lim is null
      returning l.*),
    noted as (
      insert into errand.events (link, jobs, befores, version, type, state, name, queue, tags, run, attempt)
      select w.last, array_agg(w.id),
             case when min(w.before) = max(w.before) then array[min(w.before)] else array_agg(w.before) end,
             w.version, 3 /* unblocked event */, 3 /* ready */, w.name, w.queue, w.tags, w.run, w.attempt
        from woken w
       group by w.last, w.version, w.name, w.queue, w.tags, w.run, w.attempt)
    select 'ticket', w.id, w.queue, w.lane from woken w
    union all
    (select 'pending', null::uuid, null::text, null::smallint from free f where f.lim is not null limit 1);
end $$;

-- When a note that has met a lock is to be handled again.
create function errand.try_again_at(p_now timestamptz, p_tries integer) returns timestamptz language sql immutable
  return p_now + case when p_tries > 0
                      then least(10 * power(2, least(p_tries, 10)), 5000) else 0 end * interval '1 millisecond';

/*
 * Cancels jobs that need what did not end as it must; the caller has locked them. Notes tell those that need them, their flows, and who
 * waits for their keys: a long line of such jobs must not become one long call.
 */
create function errand.cancel_unmet(p_ids uuid[], p_needs uuid[], p_now timestamptz)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_unique uuid[];
  v_flows uuid[];
  v_pending boolean;
begin
  with found as materialized (
    select l.*, t.need, nextval('errand.events_seq') as link,
           l.may_fail or w.cancel is not null
             or exists (select from errand.known j where j.id = any (array[t.need]) and j.flow = l.flow)
             or exists (select from errand.flows i where i.id = any (array[t.need]) and i.flow = l.flow) as forgiven
      from unnest(p_ids, p_needs) as t (id, need)
      join errand.live l on l.id = any (array[t.id])
      left join errand.flows w on w.id = any (array[l.flow])),
  gone as (delete from errand.live l using found f where l.id = any (array[f.id])),
  done as (
    insert into errand.ended (id, seq, at, last, version, run, state, shares)
    select f.id, f.seq, p_now, f.link, f.version + 1, f.run, 7 /* cancelled */, nullif(f.share is not null, false) from found f),
  noted as (
    insert into errand.events (seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
    select f.link, f.link, p_now, array[f.id], array[f.last], f.version + 1, 14 /* cancelled event */, 7 /* cancelled */, f.name,
           f.queue, f.tags, f.run, f.attempt, '{"cause":"need","needs":["' || f.need || '"]}'
      from found f),
  told as (insert into errand.work_notes (kind, target) select 2 /* ended note */, f.id from found f where f.needed),
  counted as (
    insert into errand.work_notes (kind, target, cancelled, forgiven)
    select 3 /* count note */, f.flow, count(*), count(*) filter (where f.forgiven)
      from found f where f.flow is not null group by f.flow),
  passed as (insert into errand.key_notes (queue, key) select distinct f.queue, f.key from found f where f.key is not null),
  limited as (
    insert into errand.limit_notes (lim, lim_key) select distinct f.lim, f.lim_key from found f where f.at_limit)
  select array_agg(f.id) filter (where f.unique_mode <> 0 /* not unique */),
         array_agg(distinct f.flow) filter (where f.flow is not null),
         bool_or(f.needed is not null or f.key is not null or f.at_limit is not null)
    into v_unique, v_flows, v_pending
    from found f;
  if v_unique is not null then perform errand.free_unique(v_unique, false); end if;
  return query select 'cancelled', u.id, null::text, null::smallint from unnest(p_ids) as u (id);
  if v_flows is not null then
    return query select 'count', u.id, null::text, null::smallint from unnest(v_flows) as u (id);
  end if;
  if v_pending then return query select 'pending', null::uuid, null::text, null::smallint; end if;
end $$;
