-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

-- Rows of kind `cancelled`, `requested` (`worker`: who runs it; `asked` when it was asked for before) and `ticket`.
create function errand.cancel(p_ids uuid[], p_note text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_queues text[];
  v_keys text[];
  v_freed uuid[] := '{}';
  v_unique_mode smallint;
  v_is_late boolean;
  v_lim text;
  v_lim_key text;
  v_lims text[] := '{}';
  v_lim_keys text[] := '{}';
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select array_agg(l.queue) filter (where l.key is not null), array_agg(l.key) filter (where l.key is not null)
    into v_queues, v_keys
    from errand.live l where l.id = any (p_ids);
  if v_keys is not null then perform errand.lock_keys(v_queues, v_keys); end if;

  for kind, id, queue, lane, worker, v_unique_mode, v_is_late, v_lim, v_lim_key in
    with found as materialized (
      select l.*, not age(l.xmin) >= 0 as is_late, nextval('errand.events_seq') as link
        from errand.live l where l.id = any (p_ids) and l.state <> 6 /* failed */ order by l.id for update),
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
             f.name, f.queue, f.tags, f.run, f.attempt, '{' || p_note || '}'
        from found f where f.state <> 4 /* running */ or f.cancel is null)
    select case when f.state <> 4 /* running */ then 'cancelled' when f.cancel is null then 'requested' else 'asked' end,
           f.id, f.queue, f.lane, f.worker, f.unique_mode, f.is_late, f.lim, f.lim_key
      from found f
  loop
    if v_is_late then
      raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
    end if;
    if kind = 'cancelled' and v_unique_mode <> 0 /* not unique */ then v_freed := v_freed || id; end if;
    if kind = 'cancelled' and v_lim is not null then
      v_lims := v_lims || v_lim;
      v_lim_keys := v_lim_keys || v_lim_key;
    end if;
    return next;
  end loop;
  if v_freed <> '{}' then perform errand.free_unique(v_freed, false); end if;
  if v_keys is not null then
    return query select 'ticket', p.id, p.queue, p.lane, null::text
                   from errand.pass_keys(v_queues, v_keys, v_now) p where not p.pending;
  end if;
  if v_lims <> '{}' then
    return query select 'ticket', a.id, a.queue, a.lane, null::text
                   from errand.admit(v_lims, v_lim_keys, v_now) a where not a.pending;
  end if;
end $$;
