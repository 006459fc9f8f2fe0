-- What a sweep does to jobs. Every time is measured against the sweep's own moment, by the database's clock.

/*
 * Due jobs become ready, or blocked where another job holds their key: key rows are locked first, in their order, and
 * jobs whose key somebody else has locked wait for the next sweep. Suspended ones go on. Rows of kind `ticket` and `blocked`.
 */
create function errand.sweep_due(p_limit integer, p_now timestamptz, p_ids uuid[] default null)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_queues text[];
  v_keys text[];
  v_holders uuid[];
  v_suspended uuid[];
  v_children uuid[];
  v_unmet uuid[] := '{}';
begin
  select array_agg(d.id) filter (where not d.is_suspended),
         array_agg(d.queue) filter (where d.key is not null and not d.is_suspended),
         array_agg(d.key) filter (where d.key is not null and not d.is_suspended),
         array_agg(d.id) filter (where d.is_suspended), array_agg(d.id) filter (where d.has_needs and not d.is_suspended)
    into v_ids, v_queues, v_keys, v_suspended, v_children
    from (select l.id, l.queue, l.key, l.has_needs, l.state = 8 /* suspended */ as is_suspended from errand.live l
           where l.run_at <= p_now and l.state in (1 /* scheduled */, 8 /* suspended */) and (p_ids is null or l.id = any (p_ids))
           order by l.run_at limit p_limit) d;
  if v_suspended is not null then return query select w.* from errand.wake_due(v_suspended, p_now) w; end if;
  if v_ids is null then return; end if;

  if v_keys is not null then
    -- A key without a holder goes to its first job.
    insert into errand.keys (queue, key, holder)
    select t.queue, t.key, first.id
      from (select distinct t.queue, t.key from unnest(v_queues, v_keys) as t (queue, key)) t
     cross join lateral (
       select l.id from errand.live l
        where l.queue = t.queue and l.key = t.key and l.state in (1 /* scheduled */, 2 /* blocked */)
        order by l.seq limit 1) first
     where not exists (select from errand.keys k where k.queue = any (array[t.queue]) and k.key = t.key)
     order by t.queue, t.key
    on conflict do nothing;

    select array_agg(k.queue), array_agg(k.key), array_agg(k.holder) into v_queues, v_keys, v_holders
      from (select k.queue, k.key, k.holder
              from (select distinct t.queue, t.key from unnest(v_queues, v_keys) as t (queue, key)) d
              join errand.keys k on k.queue = any (array[d.queue]) and k.key = d.key
             order by d.queue, d.key
               for update of k skip locked) k;
  end if;

  if v_children is not null then
    -- What they need is read in a later statement than they are locked.
    v_children := array(
      select l.id from errand.live l
       where l.id = any (v_children) and l.state = 1 /* scheduled */ and age(l.xmin) >= 0 order by l.id for update skip locked);
    v_unmet := errand.unmet(v_children);
  end if;

  return query
    with due as materialized (
      select l.id, (l.key is null or k.holder = l.id) and not l.id = any (v_unmet) as mine, l.lim is not null as limited
        from errand.live l
        left join unnest(v_queues, v_keys, v_holders) as k (queue, key, holder) on k.queue = l.queue and k.key = l.key
       -- The index on ids must find it. `coalesce` prevents the use of the index on due jobs.
       where l.id = any (v_ids) and l.state = 1 /* scheduled */ and coalesce(l.run_at, 'infinity') <= p_now
         and (l.key is null or k.holder is not null) and age(l.xmin) >= 0
         and (l.has_needs is null or l.id = any (v_children))
       order by l.id
         for update of l skip locked),
    moved as (
      update errand.live l
         set state = case when due.mine and not due.limited then 3 /* ready */ else 2 /* blocked */ end,
             held = case when not due.mine or due.limited then 2 /* blocked */ end, run_at = null, version = l.version + 1,
             at_limit = case when due.mine and due.limited then true end,
             publish_after = case when due.mine and not due.limited then p_now + interval '30 seconds' end, publishes = 0,
             turn = case when due.mine and not due.limited and l.share is not null
                         then errand.turn_of(l.queue, l.lane, l.share, null) end,
             before = l.last, last = nextval('errand.events_seq')
        from due where l.id = any (array[due.id])
      returning l.*),
    noted as (
      insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt)
      select m.last, m.last, array[m.id], array[m.before], m.version, 2 /* due event */, m.state, m.name, m.queue, m.tags, m.run, m.attempt
        from moved m order by m.seq),
    -- The sweep lets them go behind this.
    told as (
      insert into errand.limit_notes (lim, lim_key)
      select distinct m.lim, m.lim_key from moved m where m.at_limit)
    select case when m.state = 3 /* ready */ then 'ticket' else 'blocked' end, m.id, m.queue, m.lane from moved m order by m.seq;
end $$;

-- The runs to call lost. There are few grants: only those that the fleet has asked for since its last heartbeats.
create function errand.lost_runs(p_limit integer, p_now timestamptz) returns uuid[] language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  return array(
    select distinct r.id from errand.runs r left join errand.workers w on w.id = r.worker
     where w.id is null or w.lease_until < p_now or (r.first_deadline < p_now and r.deadline < p_now)
     limit p_limit);
end $$;

/*
 * Runs whose worker's lease, or whose own deadline, is out. Rows of kind `ready`, `lost` (lives on, or cancelled),
 * `failed` (`note`: run, attempt and error, with tabs between), and `next` for successors of keys.
 */
create function errand.sweep_lost(p_limit integer, p_now timestamptz, p_ids uuid[] default null)
returns table (kind text, id uuid, queue text, lane smallint, note text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_ended boolean;
  v_key text;
  v_unique_mode smallint;
  v_queues text[] := '{}';
  v_keys text[] := '{}';
  v_freed uuid[] := '{}';
  v_state smallint;
  v_needed boolean;
  v_flow uuid;
  v_may_fail boolean;
  v_has_needs boolean;
  v_final uuid[] := '{}';
  v_states smallint[] := '{}';
  v_neededs boolean[] := '{}';
  v_flows uuid[] := '{}';
  v_may_fails boolean[] := '{}';
begin
  v_ids := coalesce(p_ids, errand.lost_runs(p_limit, p_now));
  if v_ids = '{}' then return; end if;

  for kind, id, queue, lane, note, v_ended, v_key, v_unique_mode, v_state, v_needed, v_flow, v_may_fail, v_has_needs in
    with found as materialized (
      select l.needed, l.flow, l.may_fail, l.has_needs, l.id, l.key, l.queue, l.lane, l.name, l.tags, l.run, l.worker, l.cancel, l.unique_mode, l.version,
             l.last, l.seq, l.share, l.lim, l.lim_key,
             l.attempt - 1 as attempt, coalesce(l.crashes, 0) + 1 as crashes, coalesce(l.streak, 0) + 1 as streak,
             case when l.deadline < p_now then '{"name":"LostError","message":"the run passed its deadline","code":"E_LOST"}'
                  else '{"name":"LostError","message":"the lease of its worker ran out","code":"E_LOST"}' end as why,
             case when l.cancel is not null then 7 /* cancelled */
                  when l.fails_on_crash or coalesce(l.crashes, 0) + 1 >= j.max_crashes then 6 /* failed */
                  when coalesce(l.streak, 0) = 0 then 3 /* ready */
                  else 1 /* scheduled */ end as becomes,
             p_now + least(interval '1 second' * power(2, least(greatest(l.streak, 1) - 1, 10)), interval '1 minute') as run_at,
             l.key is not null and not l.skips_on_failure as blocks
        from errand.live l
        join errand.jobs j on j.seq = any (array[l.seq])
        left join errand.workers w on w.id = l.worker
       where l.id = any (v_ids) and l.state = 4 /* running */ and age(l.xmin) >= 0
         and (w.id is null or w.lease_until < p_now or l.deadline < p_now)
       order by l.id
         for update of l skip locked),
    c as materialized (
      select f.*, nextval('errand.events_seq') as link,
             case when f.becomes in (6 /* failed */, 7 /* cancelled */) then nextval('errand.events_seq') end as second,
             f.becomes in (6 /* failed */, 7 /* cancelled */) as two,
             f.becomes in (3 /* ready */, 1 /* scheduled */) or (f.becomes = 6 /* failed */ and f.blocks) as stays
        from found f),
    gone as (delete from errand.live l using c where l.id = any (array[c.id]) and not c.stays),
    done as (
      insert into errand.ended (id, seq, at, last, version, run, state, shares)
      select c.id, c.seq, p_now, coalesce(c.second, c.link), c.version + 1 + c.two::integer, c.run, c.becomes,
             nullif(c.share is not null, false)
        from c where not c.stays),
    -- Its place is free, unless it goes back to ready. The sweep lets the next one go behind this.
    told as (
      insert into errand.limit_notes (lim, lim_key)
      select distinct c.lim, c.lim_key from c where c.lim is not null and c.becomes <> 3 /* ready */),
    kept as (
      update errand.live l
         set last = coalesce(c.second, c.link), state = c.becomes, held = nullif(c.becomes, 3 /* ready */), attempt = c.attempt, crashes = c.crashes, streak = c.streak,
             version = c.version + 1 + c.two::integer, parked_since = null, worker = null, deadline = null,
             run_at = case when c.becomes = 1 /* scheduled */ then c.run_at end,
             publish_after = case when c.becomes = 3 /* ready */ then p_now + interval '30 seconds' end, publishes = 0,
             turn = case when c.becomes = 3 /* ready */ and l.share is not null
                         then errand.turn_of(l.queue, l.lane, l.share, l.turn) end
        from c where l.id = any (array[c.id]) and c.stays),
    noted as (
      insert into errand.events (
        seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, run_at, data, codec, bodies)
      select c.link, c.link, p_now, array[c.id], array[c.last], c.version + 1, 10 /* lost event */,
             case when c.two then 4 /* running */ else c.becomes end, c.name, c.queue, c.tags, c.run, c.attempt, c.worker, case when c.becomes = 1 /* scheduled */ then c.run_at end, null, 'json',
             array[c.why]
        from c
      union all
      -- Without the worker: its own late settlement must not mistake this event for its own, with a lost answer.
      select c.second, c.second, p_now, array[c.id], array[c.link], c.version + 2,
             case when c.becomes = 6 /* failed */ then 12 /* failed event */ else 14 /* cancelled event */ end,
             c.becomes, c.name, c.queue, c.tags, c.run, c.attempt, null, null,
             case when c.becomes = 6 /* failed */ then '{"cause":"lost"}' else '{' || c.cancel || '}' end,
             case when c.becomes = 6 /* failed */ then 'json' end,
             case when c.becomes = 6 /* failed */ then array[c.why] end
        from c where c.two)
    select case c.becomes when 6 /* failed */ then 'failed' when 3 /* ready */ then 'ready' else 'lost' end,
           c.id, c.queue, c.lane, concat_ws(E'\t', c.run, c.attempt, c.why), not c.stays, c.key,
           case when c.two then c.unique_mode else 0 end, c.becomes, c.needed, c.flow, c.may_fail,
           c.has_needs
      from c
  loop
    if v_state = 7 /* cancelled */ and v_has_needs then perform errand.leave_calls(array[id]); end if;
    if v_state in (6 /* failed */, 7 /* cancelled */) and (v_needed or v_flow is not null) then
      v_final := v_final || id;
      v_states := v_states || v_state;
      v_neededs := v_neededs || v_needed;
      v_flows := v_flows || v_flow;
      v_may_fails := v_may_fails || v_may_fail;
    end if;
    if v_ended and v_key is not null then
      v_queues := v_queues || queue;
      v_keys := v_keys || v_key;
    end if;
    if v_unique_mode <> 0 /* not unique */ then v_freed := v_freed || id; end if;
    return next;
  end loop;

  if v_freed <> '{}' then perform errand.free_unique(v_freed, false); end if;
  if v_keys <> '{}' then
    return query select 'next', p.id, p.queue, p.lane, null::text
                   from errand.pass_keys(v_queues, v_keys, p_now + interval '30 seconds') p where not p.pending;
  end if;
  if v_final <> '{}' then
    return query select 'next', a.id, a.queue, a.lane, null::text
                   from errand.after_end(v_final, v_states, v_neededs, v_flows, v_may_fails, p_now + interval '30 seconds', false) a
                  where a.kind = 'ticket';
  end if;
end $$;
