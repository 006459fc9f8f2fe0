-- What operators do to flows, and the passes that cancel the members of one.

/*
 * Cancels members of a flow whose end is asked for: 500 or so behind a place, or one of them. Members that somebody has locked get notes,
 * and so do those behind them. Rows of kind `ticket`, `cancelled`, `requested`, `asked` and `more`.
 */
create function errand.cancel_members(p_flow uuid, p_place bigint, p_member uuid, p_tries smallint, p_publish_after timestamptz)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_note text := (select f.cancel from errand.flows f where f.id = p_flow and f.state = 4 /* running */);
  v_ids uuid[] := array[p_member];
  v_last bigint;
  v_flows uuid[];
  v_locked uuid[];
begin
  if v_note is null then return; end if;
  if p_member is null then
    select array_agg(u.id), max(c.start) into v_ids, v_last
      from (select m.start, m.ids, sum(cardinality(m.ids)) over (order by m.start) - cardinality(m.ids) as before
              from (select m.start, m.ids from errand.members m
                     where m.flow = any (array[p_flow]) and m.start > p_place order by m.start limit 500) m) c
     cross join lateral unnest(c.ids) as u (id)
     where c.before < 500;
    if v_ids is null then return; end if;
    if exists (select from errand.members m where m.flow = any (array[p_flow]) and m.start > v_last) then
      insert into errand.work_notes (kind, target, place) values (4 /* flow note */, p_flow, v_last);
      return query select 'more', null::uuid, null::text, null::smallint, null::text;
    end if;
  end if;

  v_flows := array(
    select f.id from errand.flows f
     where f.id = any (v_ids) and f.state = 4 /* running */ and f.cancel is null and age(f.xmin) >= 0 order by f.id for update skip locked);
  perform errand.request_end(u.id, v_note) from unnest(v_flows) as u (id);
  v_locked := array(
    select l.id from errand.live l
     where l.id = any (v_ids) and l.state <> 6 /* failed */ and age(l.xmin) >= 0 order by l.id for update skip locked);
  with missed as (
    select l.id from errand.live l where l.id = any (v_ids) and l.state <> 6 /* failed */ and not l.id = any (v_locked)
    union all
    select f.id from errand.flows f
     where f.id = any (v_ids) and f.state = 4 /* running */ and f.cancel is null and not f.id = any (v_flows))
  insert into errand.work_notes (kind, target, other, tries, at)
  select 5 /* member note */, p_flow, missed.id, least(p_tries + 1, 100), errand.try_again_at(v_now, p_tries) from missed;
  if v_locked <> '{}' then
    return query
      select c.* from errand.cancel_rows(v_locked, v_note, v_note || ',"cause":"flow"', p_publish_after) c;
  end if;
end $$;

/*
 * Asks for the end of a flow, and cancels its first members. Rows of kind `unknown`, `ended`, `cancelling`, and those of cancel_members.
 */
create function errand.cancel_flow(p_id uuid, p_note text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_flow errand.flows;
  v_is_late boolean;
begin
  if octet_length(p_note) > 32768 then perform errand.out_of_bounds('a note', p_note); end if;
  perform set_config('lock_timeout', p_lock_timeout, true);
  perform 1 from (select from errand.flows f where f.id = p_id for update) locked;
  select f.* into v_flow from errand.flows f where f.id = p_id;
  select not age(f.xmin) >= 0 into v_is_late from errand.flows f where f.id = p_id;
  if v_is_late then raise exception 'errand: the flow was changed by a later transaction' using errcode = '40001'; end if;
  kind := case when v_flow.id is null then 'unknown' when v_flow.state <> 4 /* running */ then 'ended' else 'cancelling' end;
  return next;
  if kind <> 'cancelling' or v_flow.cancel is not null then return; end if;
  update errand.flows f set cancel = p_note where f.id = p_id;
  perform errand.note_flow(p_id, (22 /* flow_cancel_requested event */)::smallint, '{' || p_note || '}');
  return query select * from errand.cancel_members(p_id, 0, null, 0::smallint, errand.clock());
end $$;

/*
 * Starts a flow that has ended again: its failed and cancelled members, also those of flows in it, and the jobs that need it. Rows of
 * kind `unknown`, `running`, `callbacks-run` or `replayed`; `member` for each member that starts again; and `ticket`.
 */
create function errand.replay_flow(p_id uuid, p_data text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_flow errand.flows;
  v_flows uuid[];
  v_members uuid[];
  v_children uuid[];
  v_chunk uuid[];
  v_counts record;
begin
  if octet_length(p_data) > 32768 then perform errand.out_of_bounds('a note', p_data); end if;
  perform set_config('lock_timeout', p_lock_timeout, true);
  perform errand.lock_flows(array[p_id]);
  select f.* into v_flow from errand.flows f where f.id = p_id;
  kind := case when v_flow.id is null then 'unknown' when v_flow.state = 4 /* running */ then 'running' end;
  if kind is not null then
    return next;
    return;
  end if;
  with recursive again (id) as (
    select p_id
    union
    select f.id from again a join errand.flows f on f.flow = any (array[a.id]) and f.state in (6 /* failed */, 7 /* cancelled */))
  select array_agg(a.id) into v_flows from again a;
  perform errand.lock_flows(v_flows || v_flow.flow);
  -- Jobs outside of the flows that need one of them, such as callbacks.
  v_children := array(
    select distinct n.child
      from errand.needs n join errand.known j on j.id = any (array[n.child])
     where n.parent = any (v_flows) and (j.flow is null or not j.flow = any (v_flows)));
  perform errand.lock_jobs(v_children);
  if exists (
    select from errand.live l
     where l.id = any (v_children) and l.state not in (1 /* scheduled */, 2 /* blocked */, 6 /* failed */))
  then
    kind := 'callbacks-run';
    return next;
    return;
  end if;
  kind := 'replayed';
  return next;

  v_members := array(
    select u.id
      from errand.members m cross join lateral unnest(m.ids) as u (id)
      left join errand.live l on l.id = any (array[u.id])
      left join errand.ended x on x.id = any (array[u.id])
     where m.flow = any (v_flows)
       and (l.state = 6 /* failed */ or (l.id is null and x.state in (6 /* failed */, 7 /* cancelled */)))
     -- What is needed goes before what needs it.
     order by coalesce(l.seq, x.seq));

  -- The outer flow counts it again when it ends again.
  update errand.flows o
     set succeeded = o.succeeded - (v_flow.state = 5 /* succeeded */)::integer,
         failed = o.failed - (v_flow.state = 6 /* failed */)::integer,
         cancelled = o.cancelled - (v_flow.state = 7 /* cancelled */)::integer,
         forgiven = o.forgiven - (v_flow.state <> 5 /* succeeded */
           and (coalesce(v_flow.may_fail, false) or (v_flow.state = 7 /* cancelled */ and o.cancel is not null)))::integer
   where o.id = v_flow.flow and o.state = 4 /* running */;
  update errand.flows f
     set state = 4 /* running */, ended_at = null, cancel = null, succeeded = 0, failed = 0, cancelled = 0, forgiven = 0
   where f.id = any (v_flows);
  perform errand.note_flow(u.id, (24 /* flow_replayed event */)::smallint, p_data) from unnest(v_flows) as u (id);
  update errand.needs n set done = null, codec = null, body = null where n.parent = any (v_flows);
  update errand.live l set at_limit = null where l.id = any (v_children) and l.at_limit;

  for v_from in 1 .. coalesce(cardinality(v_members), 0) by 500 loop
    v_chunk := v_members[v_from:v_from + 499];
    -- What starts again in a part before it has not ended.
    with again as (
      update errand.needs n set done = null, codec = null, body = null
       where n.child = any (v_chunk) and n.done is not null
         and exists (select from errand.live l where l.id = any (array[n.parent]) and l.state <> 6 /* failed */)
      returning n.parent)
    update errand.live l set needed = true
      from (select distinct a.parent from again a) a where l.id = any (array[a.parent]) and l.needed is null;
    for kind, id, queue, lane in select r.kind, r.id, r.queue, r.lane from errand.replay_jobs(v_chunk, p_data, v_flows) r loop
      if kind in ('ticket', 'next') then
        return query select 'ticket', id, queue, lane;
      end if;
      if kind in ('ticket', 'replayed') then
        return query select 'member', id, queue, lane;
      end if;
    end loop;
  end loop;
  return query
    select 'ticket', r.id, r.queue, r.lane
      from errand.replay_jobs(v_children, p_data, v_flows) r where r.kind in ('ticket', 'next');
  v_members := array(
    select u.id from unnest(v_members) as u (id)
      left join errand.live l on l.id = any (array[u.id])
     where l.id is null or l.state = 6 /* failed */);

  -- Counts are taken anew, because members may have been replayed alone since. What notes had to add is among them.
  for v_counts in
    with dropped as (
      delete from errand.work_notes n where n.kind = 3 /* count note */ and n.target = any (v_flows)
      returning n.target, coalesce(n.total, 0) as total),
    ends as (
      select m.flow, 5 /* succeeded */ as state, false as forgiven
        from errand.members m cross join lateral unnest(m.ids) as u (id)
        left join errand.flows i on i.id = any (array[u.id])
        left join errand.ended x on x.id = any (array[u.id])
       where m.flow = any (v_flows) and coalesce(i.state, x.state) = 5 /* succeeded */
      union all
      -- Those that could not start again.
      select e.flow, e.state, e.forgiven from errand.member_ends(v_members) e)
    select u.id, coalesce((select sum(d.total) from dropped d where d.target = u.id), 0)::integer as total,
           count(*) filter (where e.state = 5 /* succeeded */)::integer as succeeded,
           count(*) filter (where e.state = 6 /* failed */)::integer as failed,
           count(*) filter (where e.state = 7 /* cancelled */)::integer as cancelled,
           count(*) filter (where e.forgiven)::integer as forgiven
      from unnest(v_flows) with ordinality as u (id, ord)
      left join ends e on e.flow = u.id
     group by u.id, u.ord order by u.ord desc
  loop
    update errand.flows f set total = f.total + v_counts.total where f.id = v_counts.id and v_counts.total <> 0;
    return query
      select f.kind, f.id, f.queue, f.lane
        from errand.follow(null, null, null, array[v_counts.id], array[v_counts.succeeded], array[v_counts.failed],
                         array[v_counts.cancelled], array[v_counts.forgiven], errand.clock()) f
       where f.kind = 'ticket';
  end loop;
end $$;
