-- What follows from the ends of jobs and flows: those that need them are looked at again, and their flows count them.

/*
 * Tells the ends of parents (jobs or flows) to those that need them, and adds to the counts of flows, until nothing follows any more.
 * Rows of kind `ticket` and `pending`.
 */
create function errand.follow(
  p_parents uuid[], p_states smallint[], p_from uuid[], p_flows uuid[], p_succeeded integer[], p_failed integer[],
  p_cancelled integer[], p_forgiven integer[], p_publish_after timestamptz
) returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_children uuid[];
  v_more uuid[];
begin
  loop
    v_more := '{}';
    if p_parents is not null then
      v_children := errand.meet(p_parents, p_states, p_from);
      if v_children <> '{}' then
        if cardinality(v_children) >= 500 then
          -- There may be a note about more.
          kind := 'pending'; id := null; queue := null; lane := null;
          return next;
        end if;
        for kind, id, queue, lane in select a.kind, a.id, a.queue, a.lane from errand.advance(v_children, p_publish_after) a loop
          if kind = 'count' then v_more := v_more || id; end if;
          if kind in ('ticket', 'pending') then return next; end if;
        end loop;
      end if;
    end if;
    exit when p_flows is null and v_more = '{}';

    -- Those of v_more have notes already.
    p_flows := coalesce(p_flows, '{}') || v_more;
    p_succeeded := coalesce(p_succeeded, '{}') || array_fill(0, array[cardinality(v_more)]);
    p_failed := coalesce(p_failed, '{}') || array_fill(0, array[cardinality(v_more)]);
    p_cancelled := coalesce(p_cancelled, '{}') || array_fill(0, array[cardinality(v_more)]);
    p_forgiven := coalesce(p_forgiven, '{}') || array_fill(0, array[cardinality(v_more)]);
    p_parents := null;
    p_states := null;
    p_from := null;
    select array_agg(c.id) filter (where c.kind = 'ended'), array_agg(c.state) filter (where c.kind = 'ended'),
           array_agg(c.flow) filter (where c.flow is not null),
           array_agg((c.state = 5 /* succeeded */)::integer) filter (where c.flow is not null),
           array_agg((c.state = 6 /* failed */)::integer) filter (where c.flow is not null),
           array_agg((c.state = 7 /* cancelled */)::integer) filter (where c.flow is not null),
           array_agg(c.forgiven::integer) filter (where c.flow is not null),
           case when bool_or(c.kind = 'pending') then 'pending' end
      into p_parents, p_states, p_flows, p_succeeded, p_failed, p_cancelled, p_forgiven, kind
      from errand.count_flows(p_flows, p_succeeded, p_failed, p_cancelled, p_forgiven) c;
    if kind is not null then
      id := null; queue := null; lane := null;
      return next;
    end if;
    exit when p_parents is null;
  end loop;
end $$;

/*
 * What follows from the ends of these jobs, which the caller has written. p_needed: others need it. p_flows: that count it. p_inside:
 * the caller's transaction may stay open for long, so it only leaves notes. Rows of kind `ticket` and `pending`.
 */
create function errand.after_end(
  p_ids uuid[], p_states smallint[], p_needed boolean[], p_flows uuid[], p_may_fail boolean[], p_publish_after timestamptz,
  p_inside boolean
) returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_parents uuid[];
  v_states smallint[];
  v_flows uuid[];
  v_succeeded integer[];
  v_failed integer[];
  v_cancelled integer[];
  v_forgiven integer[];
begin
  select array_agg(t.id), array_agg(t.state) into v_parents, v_states
    from unnest(p_ids, p_states, p_needed) as t (id, state, needed) where t.needed;
  -- What is cancelled after somebody has asked for the end of its flow does not count against it.
  select array_agg(c.flow), array_agg(c.succeeded), array_agg(c.failed), array_agg(c.cancelled), array_agg(c.forgiven)
    into v_flows, v_succeeded, v_failed, v_cancelled, v_forgiven
    from (select t.flow, (count(*) filter (where t.state = 5 /* succeeded */))::integer as succeeded,
                 (count(*) filter (where t.state = 6 /* failed */))::integer as failed,
                 (count(*) filter (where t.state = 7 /* cancelled */))::integer as cancelled,
                 (count(*) filter (
                   where t.state <> 5 /* succeeded */
                     and (t.may_fail or (t.state = 7 /* cancelled */ and exists (
                       select from errand.flows f where f.id = any (array[t.flow]) and f.cancel is not null)))))::integer as forgiven
            from unnest(p_states, p_flows, p_may_fail) as t (state, flow, may_fail)
           where t.flow is not null group by t.flow) c;
  if not p_inside then
    return query
      select * from errand.follow(
        v_parents, v_states, null, v_flows, v_succeeded, v_failed, v_cancelled, v_forgiven, p_publish_after);
    return;
  end if;
  insert into errand.work_notes (kind, target) select 2 /* ended note */, u.id from unnest(v_parents) as u (id);
  insert into errand.work_notes (kind, target, succeeded, failed, cancelled, forgiven)
  select 3 /* count note */, u.* from unnest(v_flows, v_succeeded, v_failed, v_cancelled, v_forgiven) as u;
  return query select 'pending', null::uuid, null::text, null::smallint;
end $$;

-- The same as lines of an answer: `next`, one of the jobs, then the job that may go now, its lane and its queue; and `pending id`.
create function errand.lines_after_end(
  p_ids uuid[], p_states smallint[], p_needed boolean[], p_flows uuid[], p_may_fail boolean[], p_publish_after timestamptz,
  p_inside boolean
) returns text language plpgsql as $$
begin
  return (
    select string_agg(distinct case when a.kind = 'pending' then concat_ws(E'\t', 'pending', p_ids[1])
                                    else concat_ws(E'\t', 'next', p_ids[1], a.id, a.lane, a.queue) end, E'\n')
      from errand.after_end(p_ids, p_states, p_needed, p_flows, p_may_fail, p_publish_after, p_inside) a);
end $$;

/*
 * Handles notes about needs and flows, and about ordering keys, as long as one leads to the next. Rows of kind `ticket`, and of kind
 * `full` if there is more to do now.
 */
create function errand.pass_noted(p_limit integer, p_publish_after timestamptz)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_left integer := p_limit;
  v_notes bigint[];
  v_kinds smallint[];
  v_targets uuid[];
  v_others uuid[];
  v_places bigint[];
  v_tries smallint[];
  v_counts uuid[];
  v_ids uuid[];
begin
  for v_round in 1 .. 8 loop
    v_now := errand.clock();
    for id, queue, lane in select k.id, k.queue, k.lane from errand.pass_noted_keys(p_limit, p_publish_after) k loop
      kind := 'ticket';
      return next;
    end loop;
    select array_agg(n.id), array_agg(n.kind), array_agg(n.target), array_agg(n.other), array_agg(n.place), array_agg(n.tries)
      into v_notes, v_kinds, v_targets, v_others, v_places, v_tries
      from (select n.* from errand.work_notes n
             where n.kind <> 3 /* count note */ and n.at <= v_now order by n.at limit v_left for update skip locked) n;
    v_counts := errand.noted_flows(p_limit);
    exit when v_notes is null and v_counts = '{}';
    if v_notes is not null then
      v_left := v_left - cardinality(v_notes);
      delete from errand.work_notes n where n.id = any (v_notes);
      if 1 /* job note */ = any (v_kinds) then
        v_ids := array(select distinct t.target from unnest(v_kinds, v_targets) as t (kind, target) where t.kind = 1 /* job note */);
        for kind, id, queue, lane in
          select a.kind, a.id, a.queue, a.lane
            from errand.advance(v_ids, p_publish_after, array(
              select max(t.tries) from unnest(v_kinds, v_targets, v_tries) as t (kind, target, tries)
                join unnest(v_ids) with ordinality as u (id, ord) on u.id = t.target
               where t.kind = 1 /* job note */ group by u.ord order by u.ord)) a
        loop
          if kind = 'ticket' then return next; end if;
          if kind = 'count' then v_counts := v_counts || id; end if;
        end loop;
      end if;
      if 2 /* ended note */ = any (v_kinds) then
        return query
          select f.kind, f.id, f.queue, f.lane
            from errand.tell_ends(
              array(select t.target from unnest(v_kinds, v_targets) as t (kind, target) where t.kind = 2 /* ended note */),
              array(select t.other from unnest(v_kinds, v_others) as t (kind, other) where t.kind = 2 /* ended note */),
              array(select t.tries from unnest(v_kinds, v_tries) as t (kind, tries) where t.kind = 2 /* ended note */),
              p_publish_after) f
           where f.kind = 'ticket';
      end if;
      if 6 /* caller note */ = any (v_kinds) then
        for v_i in 1 .. cardinality(v_kinds) loop
          if v_kinds[v_i] = 6 /* caller note */ then
            return query
              select c.kind, c.id, c.queue, c.lane
                from errand.cancel_called(v_targets[v_i], v_others[v_i], v_tries[v_i], p_publish_after) c where c.kind = 'ticket';
          end if;
        end loop;
      end if;
      if 4 /* flow note */ = any (v_kinds) or 5 /* member note */ = any (v_kinds) then
        for v_i in 1 .. cardinality(v_kinds) loop
          if v_kinds[v_i] in (4 /* flow note */, 5 /* member note */) then
            return query
              select c.kind, c.id, c.queue, c.lane
                from errand.cancel_members(v_targets[v_i], v_places[v_i], v_others[v_i], v_tries[v_i], p_publish_after) c
               where c.kind = 'ticket';
          end if;
        end loop;
      end if;
    end if;
    if v_counts <> '{}' then
      v_ids := array(select distinct c.id from unnest(v_counts) as c (id));
      return query
        select f.kind, f.id, f.queue, f.lane
          from errand.follow(null, null, null, v_ids, array_fill(0, array[cardinality(v_ids)]), array_fill(0, array[cardinality(v_ids)]),
                           array_fill(0, array[cardinality(v_ids)]), array_fill(0, array[cardinality(v_ids)]), p_publish_after) f
         where f.kind = 'ticket';
    end if;
    -- Flows that stay locked are tried once more, and not for ever.
    exit when v_left <= 0 or (v_notes is null and v_round > 2);
  end loop;
  v_now := errand.clock();
  if exists (select from errand.work_notes n where n.kind <> 3 /* count note */ and n.at <= v_now) then
    return query select 'full', null::uuid, null::text, null::smallint;
  end if;
end $$;

/*
 * Flows that have notes about their counts: all notes of a flow are one. It begins anywhere, so that flows which stay locked do not
 * keep the others from their turn.
 */
create function errand.noted_flows(p_limit integer) returns uuid[] language plpgsql as $$
declare
  v_first uuid := gen_random_uuid();
begin
  if not exists (select from errand.work_notes n where n.kind = 3 /* count note */) then return '{}'; end if;
  return array(
    with recursive
      behind (id, nth) as (
        (select n.target, 1 from errand.work_notes n where n.kind = 3 /* count note */ and n.target >= v_first order by n.target limit 1)
        union all
        select (select n.target from errand.work_notes n where n.kind = 3 /* count note */ and n.target > b.id order by n.target limit 1),
               b.nth + 1
          from behind b where b.id is not null and b.nth < p_limit),
      before (id, nth) as (
        (select n.target, 1 from errand.work_notes n where n.kind = 3 /* count note */ and n.target < v_first order by n.target limit 1)
        union all
        select (select n.target from errand.work_notes n
                 where n.kind = 3 /* count note */ and n.target > b.id and n.target < v_first order by n.target limit 1), b.nth + 1
          from before b where b.id is not null and b.nth < p_limit)
    select a.id
      from (select behind.id, 1 as part, behind.nth from behind union all select before.id, 2, before.nth from before) a
     where a.id is not null order by a.part, a.nth limit p_limit);
end $$;

/*
 * The ends of these jobs or flows may not have been told to all that need them. One that goes on is marked as needed, now that the
 * needs can be seen; whoever ends it does the rest.
 */
create function errand.tell_ends(p_targets uuid[], p_from uuid[], p_tries smallint[], p_publish_after timestamptz)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_bound uuid[];
  v_parents uuid[];
  v_states smallint[];
  v_from uuid[];
begin
  v_bound := errand.mark_needed(p_targets);
  -- Later than the rows were locked. A job that is gone was not kept for those that need it.
  select array_agg(t.id) filter (where t.state is not null), array_agg(t.state) filter (where t.state is not null),
         array_agg(t.from_child) filter (where t.state is not null)
    into v_parents, v_states, v_from
    from (select u.id, u.from_child,
                 case when f.id is not null then nullif(f.state, 4 /* running */)
                      when l.state = 6 /* failed */ then l.state
                      when l.id is null then coalesce(x.state, 7 /* cancelled */) end as state
            from (select distinct on (d.id) d.id, d.from_child from unnest(p_targets, p_from) as d (id, from_child)
                   order by d.id, d.from_child nulls first) u
            left join errand.live l on l.id = any (array[u.id])
            left join errand.ended x on x.id = any (array[u.id])
            left join errand.flows f on f.id = any (array[u.id])
           where not u.id = any (v_bound)) t;
  insert into errand.work_notes (kind, target, other, tries, at)
  select 2 /* ended note */, u.id, u.from_child, least(u.tries + 1, 100), errand.try_again_at(errand.clock(), u.tries)
    from unnest(p_targets, p_from, p_tries) as u (id, from_child, tries)
   where not u.id = any (v_bound) and (v_parents is null or not u.id = any (v_parents));
  if v_parents is not null then
    return query select * from errand.follow(v_parents, v_states, v_from, null, null, null, null, null, p_publish_after);
  end if;
end $$;
