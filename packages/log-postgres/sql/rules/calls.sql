-- Calls: a suspended job waits for the ends of jobs and flows that it has called. Each of its calls is a need with the name of the wait.

/*
 * Stores what suspended jobs call; the caller has locked their rows. What has ended already is told at once. What has not is locked, so
 * that whoever ends it sees the call; if it is not free, a note tells it later. Nobody waits for it here.
 */
create function errand.link_calls(p_callers uuid[], p_targets uuid[], p_names text[]) returns void language plpgsql as $$
declare
  v_bound uuid[];
  v_ended uuid[];
begin
  v_bound := errand.mark_needed(p_targets);

  -- A call that waits as before stays as it is. The others are locked in the order in which those who end what was called lock them.
  perform 1 from (
    select from unnest(p_callers, p_targets, p_names) as t (caller, target, name)
      join errand.needs n on n.child = any (array[t.caller]) and n.mode = 4 /* called need */ and n.name = t.name
     where n.parent <> t.target or n.done is not null
     order by n.parent, n.child, n.ord for update of n) locked;
  -- A later statement than the ones that have locked the rows.
  with calls as materialized (
    select t.caller, t.target, t.name, t.ord, f.id is not null as is_flow,
           case when f.id is not null then nullif(f.state, 4 /* running */)
                when l.state = 6 /* failed */ then l.state
                -- One that is gone was not kept for its caller.
                when l.id is null then coalesce(x.state, 7 /* cancelled */) end as done
      from unnest(p_callers, p_targets, p_names) with ordinality as t (caller, target, name, ord)
      left join errand.live l on l.id = any (array[t.target])
      left join errand.ended x on x.id = any (array[t.target])
      left join errand.flows f on f.id = any (array[t.target])),
  -- It waits for it again: what it called may have been started anew.
  again as (
    update errand.needs n set parent = c.target, is_flow = c.is_flow, done = c.done, codec = null, body = null
      from calls c
     where n.child = any (array[c.caller]) and n.mode = 4 /* called need */ and n.name = c.name
       and (n.parent <> c.target or n.done is distinct from c.done)),
  stored as (
    insert into errand.needs (child, ord, parent, is_flow, mode, done, name)
    select c.caller,
           coalesce((select max(n.ord) from errand.needs n where n.child = any (array[c.caller])), -1)
             + row_number() over (partition by c.caller order by c.ord),
           c.target, c.is_flow, 4 /* called need */, c.done, c.name
      from calls c
     where not exists (
       select from errand.needs n where n.child = any (array[c.caller]) and n.mode = 4 /* called need */ and n.name = c.name)),
  noted as (
    insert into errand.work_notes (kind, target)
    select distinct 2 /* ended note */, c.target from calls c where c.done is null and not c.target = any (v_bound))
  select array_agg(distinct c.target) filter (where c.done is not null and not c.is_flow) into v_ended from calls c;
  if v_ended is not null then
    update errand.needs n set codec = e.codec, body = e.body
      from errand.ends_of(v_ended) e
     where n.parent = any (array[e.id]) and n.child = any (p_callers) and n.mode = 4 /* called need */ and n.done is not null
       and n.body is null;
  end if;
end $$;

/*
 * Jobs that may have called what has ended. Those that are suspended go on; one that runs finds it when it is suspended. One whose row
 * somebody else has may be about to be, so it gets a note. Rows of kind `ticket` and `pending`.
 */
create function errand.return_calls(p_ids uuid[], p_publish_after timestamptz, p_tries smallint[])
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[];
  v_suspended uuid[];
  v_spoilt uuid[];
begin
  select coalesce(array_agg(l.id), '{}'),
         coalesce(array_agg(l.id) filter (where l.state = 8 /* suspended */ and l.version < 2147483640), '{}'),
         array_agg(l.id) filter (where l.state = 8 /* suspended */ and l.version >= 2147483640)
    into v_ids, v_suspended, v_spoilt
    from (select l.id, l.state, l.version from errand.live l
           where l.id = any (p_ids) and l.state in (3 /* ready */, 4 /* running */, 8 /* suspended */) and l.has_needs
             and age(l.xmin) >= 0
           order by l.id for update skip locked) l;
  return query
    with missed as (
      insert into errand.work_notes (kind, target, tries, at)
      select 1 /* job note */, t.id, least(t.tries + 1, 100), errand.try_again_at(v_now, t.tries)
        from unnest(p_ids, p_tries) as u (id, tries)
       cross join lateral (select u.id, coalesce(u.tries, 0)) as t (id, tries)
       where not t.id = any (v_ids)
         and exists (
           select from errand.live l
            where l.id = any (array[t.id]) and l.state in (3 /* ready */, 4 /* running */, 8 /* suspended */) and l.has_needs)
      returning 1)
    select 'pending', null::uuid, null::text, null::smallint from missed limit 1;
  if v_spoilt is not null then
    perform errand.set_aside(s.id, 'its number of events is out of bounds') from unnest(v_spoilt) as s (id);
    return query select 'pending', null::uuid, null::text, null::smallint;
  end if;
  return query
    with gone as materialized (select * from errand.go_on(v_suspended, v_now, p_publish_after)),
    -- The row of a limit is never locked here.
    told as (
      insert into errand.limit_notes (lim, lim_key)
      select distinct g.lim, g.lim_key from gone g where g.state = 2 /* blocked */)
    select case when g.state = 3 /* ready */ then 'ticket' else 'pending' end, g.id, g.queue, g.lane from gone g;
end $$;

-- Notes what these cancelled jobs have called and what has not ended: it is of use to nobody. Answers whether there is any.
create function errand.leave_calls(p_ids uuid[]) returns boolean language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  insert into errand.work_notes (kind, target, other)
  select 6 /* caller note */, n.parent, n.child
    from errand.needs n where n.child = any (p_ids) and n.mode = 4 /* called need */ and n.done is null;
  return found;
end $$;

-- Cancels what a cancelled job has called. A job that somebody else has dispatched, and that was only joined, goes on.
create function errand.cancel_called(p_target uuid, p_caller uuid, p_tries smallint, p_publish_after timestamptz)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_note constant text := '"by":"caller"';
  v_ids uuid[];
begin
  if exists (select from errand.flows f where f.id = p_target) then
    v_ids := array(
      select f.id from errand.flows f
       where f.id = p_target and f.state = 4 /* running */ and f.cancel is null and age(f.xmin) >= 0 for update skip locked);
    if v_ids <> '{}' then
      perform errand.request_end(p_target, v_note);
      return;
    end if;
    if not exists (select from errand.flows f where f.id = p_target and f.state = 4 /* running */ and f.cancel is null) then return; end if;
  else
    if not exists (
      select from errand.live l join errand.jobs j on j.seq = any (array[l.seq])
       where l.id = p_target and l.state <> 6 /* failed */ and j.parent_id = p_caller::text)
    then
      return;
    end if;
    v_ids := array(
      select l.id from errand.live l
       where l.id = p_target and l.state <> 6 /* failed */ and age(l.xmin) >= 0 for update skip locked);
    if v_ids <> '{}' then
      return query
        select c.kind, c.id, c.queue, c.lane
          from errand.cancel_rows(v_ids, v_note, v_note || ',"cause":"caller"', p_publish_after) c;
      return;
    end if;
  end if;
  insert into errand.work_notes (kind, target, other, tries, at)
  values (6 /* caller note */, p_target, p_caller, least(p_tries + 1, 100), errand.try_again_at(errand.clock(), p_tries));
end $$;
