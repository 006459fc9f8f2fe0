-- Flows: jobs that were dispatched as one whole. The end of a member leaves its count in a note, or adds it to the flow's row if nobody
-- else has that. Who has the row adds all notes that can be seen, in a later statement, before it looks whether the flow has ended.

-- An event of a flow, in its own history. The caller has locked the row, and has set the state.
create function errand.note_flow(p_id uuid, p_type smallint, p_data text) returns void language plpgsql as $$
declare
  v_link bigint := nextval('errand.events_seq');
  v_before bigint := (select f.last from errand.flows f where f.id = p_id);
begin
  with f as (
    update errand.flows f set version = f.version + 1, last = v_link where f.id = p_id returning f.*)
  insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
  select v_link, v_link, array[f.id], array[v_before], f.version, p_type, f.state, coalesce(f.name, 'flow'), '', f.tags, 0, 0,
         p_data
    from f;
end $$;

create function errand.counts_of(p_total integer, p_succeeded integer, p_failed integer, p_cancelled integer, p_forgiven integer)
returns text language sql immutable
  return '"counts":{"total":' || p_total || ',"succeeded":' || p_succeeded || ',"failed":' || p_failed || ',"cancelled":'
      || p_cancelled || ',"forgiven":' || p_forgiven || '}';

/*
 * Adds to the counts of flows, with what notes have to add. One whose members have all ended, ends; one of which more have failed than
 * may is cancelled by passes. Rows of kind `ended` (its state; `flow`: the one that counts it), and `pending`: a row was locked, or
 * there is something to cancel.
 */
create function errand.count_flows(
  p_flows uuid[], p_succeeded integer[], p_failed integer[], p_cancelled integer[], p_forgiven integer[]
) returns table (kind text, id uuid, state smallint, flow uuid, forgiven boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_flow errand.flows;
begin
  v_ids := array(
    select f.id from errand.flows f where f.id = any (p_flows) and age(f.xmin) >= 0 order by f.id for update skip locked);
  if exists (select from unnest(p_flows) as t (id) where not t.id = any (v_ids)) then
    -- A flow that has been pruned counts nothing any more.
    delete from errand.work_notes n
     where n.kind = 3 /* count note */ and n.target = any (p_flows) and not n.target = any (v_ids)
       and not exists (select from errand.flows f where f.id = any (array[n.target]));
    insert into errand.work_notes (kind, target, succeeded, failed, cancelled, forgiven)
    select 3 /* count note */, t.flow, sum(t.succeeded), sum(t.failed), sum(t.cancelled), sum(t.forgiven)
      from unnest(p_flows, p_succeeded, p_failed, p_cancelled, p_forgiven) as t (flow, succeeded, failed, cancelled, forgiven)
     where not t.flow = any (v_ids) and exists (select from errand.flows f where f.id = any (array[t.flow]))
     group by t.flow having sum(t.succeeded) + sum(t.failed) + sum(t.cancelled) > 0;
    return query select 'pending', null::uuid, null::smallint, null::uuid, null::boolean;
    if v_ids = '{}' then return; end if;
  end if;

  -- A later statement than the one that has locked the rows: who added members before has committed, and its note is seen.
  with folded as (
    delete from errand.work_notes n where n.kind = 3 /* count note */ and n.target = any (v_ids)
    returning n.target, n.total, n.succeeded, n.failed, n.cancelled, n.forgiven),
  added as (
    select a.target, coalesce(sum(a.total), 0) as total, coalesce(sum(a.succeeded), 0) as succeeded,
           coalesce(sum(a.failed), 0) as failed, coalesce(sum(a.cancelled), 0) as cancelled,
           coalesce(sum(a.forgiven), 0) as forgiven
      from (select * from folded
            union all
            select t.flow, 0, t.succeeded, t.failed, t.cancelled, t.forgiven
              from unnest(p_flows, p_succeeded, p_failed, p_cancelled, p_forgiven) as t (flow, succeeded, failed, cancelled, forgiven)
             where t.flow = any (v_ids)) a
     group by a.target),
  counted as (
    update errand.flows f
       set total = f.total + a.total, succeeded = f.succeeded + a.succeeded, failed = f.failed + a.failed,
           cancelled = f.cancelled + a.cancelled, forgiven = f.forgiven + a.forgiven
      from added a
     where f.id = any (array[a.target]) and f.state = 4 /* running */
       -- One without members was started again.
       and (f.total = 0 or (a.total, a.succeeded, a.failed, a.cancelled) is distinct from (0, 0, 0, 0))
    returning f.id, f.total, f.succeeded + f.failed + f.cancelled as ended, f.failed + f.cancelled - f.forgiven > f.allowed as fails,
              f.stops and f.cancel is null as may_stop)
  select array_agg(c.id) into v_ids from counted c where c.ended = c.total or (c.fails and c.may_stop);
  if v_ids is null then return; end if;
  for v_flow in select f.* from errand.flows f where f.id = any (v_ids) order by f.id loop
    kind := errand.look_at_flow(v_flow);
    id := v_flow.id;
    select f.state, f.flow into state, flow from errand.flows f where f.id = v_flow.id;
    forgiven := null;
    if kind = 'ended' and flow is not null then
      forgiven := state <> 5 /* succeeded */
        and (coalesce(v_flow.may_fail, false)
             or (state = 7 /* cancelled */
                 and exists (select from errand.flows o where o.id = v_flow.flow and o.cancel is not null)));
    end if;
    if kind <> 'ended' then flow := null; end if;
    return next;
  end loop;
end $$;

-- Ends a flow whose members have all ended (`ended`), or begins to cancel one of which too many have failed (`pending`). It is locked.
create function errand.look_at_flow(p_flow errand.flows) returns text language plpgsql as $$
declare
  v_fails boolean := coalesce(p_flow.failed + p_flow.cancelled - p_flow.forgiven > p_flow.allowed, false);
begin
  if p_flow.succeeded + p_flow.failed + p_flow.cancelled = p_flow.total then
    update errand.flows f
       set ended_at = errand.clock(),
           state = case when p_flow.succeeded = p_flow.total then 5 /* succeeded */
                        when p_flow.cancel not like '"by":"flow"%' then 7 /* cancelled */
                        when v_fails then 6 /* failed */
                        when p_flow.cancel is not null then 7 /* cancelled */
                        else 5 /* succeeded */ end
     where f.id = p_flow.id;
    perform errand.note_flow(p_flow.id, (23 /* flow_ended event */)::smallint,
      '{' || errand.counts_of(p_flow.total, p_flow.succeeded, p_flow.failed, p_flow.cancelled, p_flow.forgiven) || '}');
    return 'ended';
  end if;
  if v_fails and p_flow.stops and p_flow.cancel is null then
    perform errand.request_end(p_flow.id, '"by":"flow","reason":"more of its members have failed than may"');
  end if;
  return 'pending';
end $$;

-- Marks a flow that the caller has locked. Nothing can be added to it from then on.
create function errand.request_end(p_id uuid, p_note text) returns void language plpgsql as $$
begin
  update errand.flows f set cancel = p_note where f.id = p_id;
  perform errand.note_flow(p_id, (22 /* flow_cancel_requested event */)::smallint, '{' || p_note || '}');
  insert into errand.work_notes (kind, target, place) values (4 /* flow note */, p_id, 0);
end $$;

/*
 * What is in the way of storing these jobs: a word for each with a comma between (`d` and the id of the job that holds its unique key,
 * `u` and what it needs and the log does not know, `f` and a flow that has ended, `w`: another job is at fault), or `s`: the first flow
 * is stored already. Null: nothing; then it has stored the flows, and has taken the keys of all the jobs, in one order. Every
 * parameter is the text of an array. A need has the place of its job, and is not one of the same call.
 */
create function errand.append_flows(
  p_ids text, p_names text, p_unique_keys text, p_queues text, p_keys text, p_job_flows text, p_need_jobs text, p_need_ids text,
  p_flow_ids text, p_outers text, p_flow_names text, p_allowed text, p_stops text, p_may_fails text, p_flow_tags text,
  p_flow_metas text, p_flow_places text, p_lock_timeout text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[] := coalesce(p_ids::uuid[], '{}');
  v_names text[] := p_names::text[];
  v_unique_keys text[] := p_unique_keys::text[];
  v_queues text[] := p_queues::text[];
  v_keys text[] := p_keys::text[];
  v_job_flows uuid[] := p_job_flows::uuid[];
  v_flow_ids uuid[] := coalesce(p_flow_ids::uuid[], '{}');
  v_outers uuid[] := p_outers::uuid[];
  v_stored boolean[];
  v_holders uuid[];
  v_to uuid[];
  v_words text[];
  v_is_new boolean;
begin
  if p_lock_timeout is not null then perform set_config('lock_timeout', p_lock_timeout, true); end if;
  if exists (select from errand.flows f where f.id = v_flow_ids[1]) then return 's'; end if;
  v_stored := array(
    select exists (select from errand.known k where k.id = any (array[t.id])) from unnest(v_ids) with ordinality as t (id, ord) order by t.ord);
  begin
    if v_unique_keys is not null then
      select array_agg(h.holder order by t.ord) into v_holders
        from unnest(v_ids) with ordinality as t (id, ord)
        left join (
          select u.ord, a.holders[u.nth] as holder
            from (select array_agg(t.name order by t.ord) as names, array_agg(t.key order by t.ord) as keys,
                         array_agg(t.id order by t.ord) as ids
                    from unnest(v_names, v_unique_keys, v_ids, v_stored) with ordinality as t (name, key, id, stored, ord)
                   where t.key is not null and not t.stored) g
           cross join lateral (select errand.take_unique(g.names, g.keys, g.ids) as holders where g.ids is not null offset 0) a
           cross join lateral (
             select t.ord, row_number() over (order by t.ord) as nth
               from unnest(v_unique_keys, v_stored) with ordinality as t (key, stored, ord)
              where t.key is not null and not t.stored) u) h on h.ord = t.ord;
    end if;
    if v_keys is not null then
      insert into errand.keys as k (queue, key, holder)
      select w.queue, w.key, w.id
        from (select distinct on (t.queue, t.key) t.queue, t.key, t.id
                from unnest(v_queues, v_keys, v_ids, v_stored, v_holders) with ordinality as t (queue, key, id, stored, holder, ord)
               where t.key is not null and not t.stored and (t.holder is null or t.holder = t.id)
               order by t.queue, t.key, t.ord) w
       order by w.queue, w.key
      on conflict (queue, key) do update set holder = k.holder;
    end if;
    -- Who adds to a flow keeps it from ending, and does not keep others from adding.
    v_to := array(
      select distinct t.flow
        from (select j.flow from unnest(v_job_flows, v_stored) as j (flow, stored) where not j.stored
              union all
              select o.flow from unnest(v_outers) as o (flow)) t
       where t.flow is not null and not t.flow = any (v_flow_ids));
    if v_to <> '{}' then
      perform 1 from (select from errand.flows f where f.id = any (v_to) order by f.id for share) locked;
    end if;
    select array_agg(
             case when t.stored then 'w'
                  when t.flow = any (v_to) and not exists (
                    select from errand.flows f where f.id = any (array[t.flow]) and f.state = 4 /* running */ and f.cancel is null)
                  then 'f' || t.flow
                  when n.id is not null then 'u' || n.id
                  when t.holder <> t.id and t.flow is not null then 'd' || t.holder
                  else 'w' end order by t.ord)
      into v_words
      from unnest(v_ids, v_job_flows, v_stored, v_holders) with ordinality as t (id, flow, stored, holder, ord)
      left join (
        select distinct on (u.job) u.job, u.id
          from unnest(p_need_jobs::integer[], p_need_ids::uuid[]) with ordinality as u (job, id, ord)
         where not exists (select from errand.known k where k.id = any (array[u.id]))
           and not exists (select from errand.flows f where f.id = any (array[u.id]))
         order by u.job, u.ord) n on n.job = t.ord;
    if exists (select from unnest(v_words) as w (word) where w.word <> 'w') then
      -- What it has taken is given back.
      raise exception 'errand: it is in the way' using errcode = 'ERR03';
    end if;
  exception when sqlstate 'ERR03' then
    return array_to_string(v_words, ',');
  end;
  if exists (
    select from unnest(v_outers) as o (flow)
     where o.flow = any (v_to) and not exists (
       select from errand.flows f where f.id = any (array[o.flow]) and f.state = 4 /* running */ and f.cancel is null))
  then
    raise exception 'errand: the flow has ended' using errcode = '22023';
  end if;
  if v_flow_ids <> '{}' then
    perform errand.insert_flows(
      v_now, v_flow_ids, v_outers, p_flow_names::text[], p_allowed::integer[], p_stops::boolean[], p_may_fails::boolean[],
      p_flow_tags::text[], p_flow_metas::text[], p_flow_places::bigint[],
      array(select j.flow from unnest(v_job_flows, v_stored) as j (flow, stored) where not j.stored and j.flow is not null));
  end if;
  return null;
end $$;

-- Stores flows with the numbers of their members. One without a member ends. p_members: the flow of each job.
create function errand.insert_flows(
  p_now timestamptz, p_ids uuid[], p_outers uuid[], p_names text[], p_allowed integer[], p_stops boolean[], p_may_fails boolean[],
  p_tags text[], p_metas text[], p_places bigint[], p_members uuid[]
) returns void language plpgsql as $$
declare
  v_count integer;
  v_flow errand.flows;
begin
  with told as materialized (
    select t.*, nextval('errand.events_seq') as link, coalesce(m.total, 0) + coalesce(i.total, 0) as total
      from unnest(p_ids, p_outers, p_names, p_allowed, p_stops, p_may_fails, p_tags, p_metas) with ordinality
        as t (id, outer_id, name, allowed, stops, may_fail, tags, meta, ord)
      left join (select u.flow, count(*)::integer as total from unnest(p_members) as u (flow) group by u.flow) m on m.flow = t.id
      left join (select u.flow, count(*)::integer as total from unnest(p_outers) as u (flow) group by u.flow) i on i.flow = t.id),
  stored as (
    insert into errand.flows (id, flow, may_fail, dispatched_at, allowed, stops, name, tags, meta, last, total, state)
    select t.id, t.outer_id, nullif(t.may_fail, false), p_now,
           case when not t.allowed between 0 and 1000000000 then errand.out_of_bounds('a number of failures', t.allowed) else t.allowed end,
           coalesce(t.stops, false),
           case when octet_length(t.name) > 2048 then errand.out_of_bounds('a name', t.name) else t.name end,
           case when t.tags is not null then errand.tags_of(t.tags) end,
           case when octet_length(t.meta) > 2097152 then errand.out_of_bounds('meta', t.meta) else t.meta end,
           t.link, t.total, 4 /* running */
      from told t order by t.ord
    on conflict (id) do nothing
    returning id),
  noted as (
    insert into errand.events (seq, link, at, jobs, version, type, state, name, queue, tags, run, attempt, data)
    select t.link, t.link, p_now, array[t.id], 1, 21 /* flow_dispatched event */, 4 /* running */, coalesce(t.name, 'flow'), '',
           errand.tags_of(t.tags), 0, 0,
           '{' || concat_ws(',', '"flow":"' || t.outer_id || '"', errand.counts_of(t.total, 0, 0, 0, 0)) || '}'
      from told t order by t.ord)
  select count(*) into v_count from stored;
  if v_count < cardinality(p_ids) then
    raise exception 'errand: the same flow was appended by another transaction' using errcode = '40001';
  end if;
  perform errand.add_members(p_outers, p_places, p_ids);
  -- Inner ones first: they may be all that an outer one has.
  for v_flow in
    select f.* from unnest(p_ids) with ordinality as t (id, ord) join errand.flows f on f.id = any (array[t.id])
     where f.total = 0 order by t.ord desc
  loop
    perform errand.look_at_flow(v_flow);
    perform errand.follow(null, null, null, array[v_flow.flow], array[1], array[0], array[0], array[0], p_now)
      where v_flow.flow is not null;
  end loop;
end $$;

-- Writes down members: jobs, or inner flows. Those without a place are added to flows that are stored already: a note tells so.
create function errand.add_members(p_flows uuid[], p_places bigint[], p_ids uuid[]) returns void language plpgsql as $$
begin
  if exists (select from unnest(p_places) as t (place) where not t.place between 1 and 1048575) then
    perform errand.out_of_bounds('a place', p_places);
  end if;
  insert into errand.members (flow, start, ids)
  select t.flow, min(t.place), array_agg(t.id order by t.place)
    from (select u.*, u.place - row_number() over (partition by u.flow order by u.place) as run
            from unnest(p_flows, p_places, p_ids) as u (flow, place, id)
           where u.flow is not null and u.place is not null) t
   group by t.flow, t.run
  union all
  select t.flow, nextval('errand.members_seq') << 20, t.ids
    from (select u.flow, array_agg(u.id order by u.ord) as ids
            from unnest(p_flows, p_places, p_ids) with ordinality as u (flow, place, id, ord)
           where u.flow is not null and u.place is null group by u.flow) t;
  insert into errand.work_notes (kind, target, total)
  select 3 /* count note */, u.flow, count(*)
    from unnest(p_flows, p_places) as u (flow, place) where u.flow is not null and u.place is null group by u.flow;
end $$;
