-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

-- Rows of kind `cancelled`, `requested` (`worker`: who runs it; `asked` when it was asked for before) and `ticket`.
create function errand.cancel(p_ids uuid[], p_note text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_queues text[];
  v_keys text[];
  v_ids uuid[];
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select array_agg(l.queue) filter (where l.key is not null), array_agg(l.key) filter (where l.key is not null)
    into v_queues, v_keys
    from errand.live l where l.id = any (p_ids);
  if v_keys is not null then perform errand.lock_keys(v_queues, v_keys); end if;
  v_ids := array(
    select l.id from errand.live l where l.id = any (p_ids) and l.state <> 6 /* failed */ order by l.id for update);
  if exists (select from errand.live l where l.id = any (v_ids) and not age(l.xmin) >= 0) then
    raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
  end if;
  if v_ids <> '{}' then return query select * from errand.cancel_rows(v_ids, p_note, p_note, errand.clock()); end if;
end $$;

-- The same for jobs that the caller has locked. p_note: what a run is asked with. p_data: of the events.
create function errand.cancel_rows(p_ids uuid[], p_note text, p_data text, p_publish_after timestamptz)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_queues text[];
  v_keys text[];
  v_freed uuid[] := '{}';
  v_unique_mode smallint;
  v_key text;
  v_lim text;
  v_lim_key text;
  v_lims text[] := '{}';
  v_lim_keys text[] := '{}';
  v_flow uuid;
  v_may_fail boolean;
  v_needed boolean;
  v_has_needs boolean;
  v_callers uuid[] := '{}';
  v_ended uuid[] := '{}';
  v_flows uuid[] := '{}';
  v_may_fails boolean[] := '{}';
  v_neededs boolean[] := '{}';
begin
  for kind, id, queue, lane, worker, v_unique_mode, v_key, v_lim, v_lim_key, v_flow, v_may_fail, v_needed, v_has_needs in
    with found as materialized (
      select l.*, nextval('errand.events_seq') as link
        from errand.live l where l.id = any (p_ids) and l.state <> 6 /* failed */ order by l.id),
    gone as (delete from errand.live l using found f where l.id = any (array[f.id]) and f.state <> 4 /* running */),
    done as (
      insert into errand.ended (id, seq, at, last, version, run, state, shares)
      select f.id, f.seq, v_now, f.link, f.version + 1, f.run, 7 /* cancelled */, nullif(f.share is not null, false)
        from found f where f.state <> 4 /* running */),
    asked as (
      update errand.live l set cancel = p_note, version = l.version + 1, last = f.link
        from found f where l.id = any (array[f.id]) and f.state = 4 /* running */ and f.cancel is null),
    noted as (
      insert into errand.events (
        seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
      select f.link, f.link, v_now, array[f.id], array[f.last], f.version + 1,
             case when f.state = 4 /* running */ then 13 /* cancel_requested event */ else 14 /* cancelled event */ end,
             case when f.state = 4 /* running */ then 4 /* running */ else 7 /* cancelled */ end,
             f.name, f.queue, f.tags, f.run, f.attempt, '{' || p_data || '}'
        from found f where f.state <> 4 /* running */ or f.cancel is null)
    select case when f.state <> 4 /* running */ then 'cancelled' when f.cancel is null then 'requested' else 'asked' end,
           f.id, f.queue, f.lane, f.worker, f.unique_mode, f.key, f.lim, f.lim_key, f.flow, f.may_fail, f.needed,
           f.has_needs
      from found f
  loop
    if kind = 'cancelled' then
      if v_unique_mode <> 0 /* not unique */ then v_freed := v_freed || id; end if;
      if v_key is not null then
        v_queues := v_queues || queue;
        v_keys := v_keys || v_key;
      end if;
      if v_lim is not null then
        v_lims := v_lims || v_lim;
        v_lim_keys := v_lim_keys || v_lim_key;
      end if;
      if v_has_needs then v_callers := v_callers || id; end if;
      if v_flow is not null or v_needed then
        v_ended := v_ended || id;
        v_flows := v_flows || v_flow;
        v_may_fails := v_may_fails || v_may_fail;
        v_neededs := v_neededs || v_needed;
      end if;
    end if;
    return next;
  end loop;
  if v_callers <> '{}' then perform errand.leave_calls(v_callers); end if;
  if v_freed <> '{}' then perform errand.free_unique(v_freed, false); end if;
  if v_keys is not null then
    return query select 'ticket', p.id, p.queue, p.lane, null::text
                   from errand.pass_keys(v_queues, v_keys, p_publish_after) p where not p.pending;
  end if;
  if v_ended <> '{}' then
    return query select a.kind, a.id, a.queue, a.lane, null::text
                   from errand.after_end(v_ended, array_fill(7 /* cancelled */::smallint, array[cardinality(v_ended)]), v_neededs,
                                       v_flows, v_may_fails, p_publish_after, false) a where a.kind = 'ticket';
  end if;
  if v_lims <> '{}' then
    return query select 'ticket', a.id, a.queue, a.lane, null::text
                   from errand.admit(v_lims, v_lim_keys, p_publish_after) a where not a.pending;
  end if;
end $$;
