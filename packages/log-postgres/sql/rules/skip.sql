-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

-- Gives the key of failed holders to the next job. Rows of kind `skipped` and `ticket`.
create function errand.skip(p_ids uuid[], p_data text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[];
  v_queues text[];
  v_keys text[];
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select array_agg(l.id), array_agg(l.queue), array_agg(l.key) into v_ids, v_queues, v_keys
    from errand.live l where l.id = any (p_ids) and l.state = 6 /* failed */;
  if v_ids is null then return; end if;
  perform errand.lock_keys(v_queues, v_keys);
  perform errand.lock_jobs(v_ids);
  return query
    with found as materialized (
      select l.*, nextval('errand.events_seq') as link
        from errand.live l where l.id = any (v_ids) and l.state = 6 /* failed */),
    gone as (delete from errand.live l using found f where l.id = any (array[f.id])),
    done as (
      insert into errand.ended (id, seq, at, last, version, run, state, shares)
      select f.id, f.seq, v_now, f.link, f.version + 1, f.run, 6 /* failed */, nullif(f.share is not null, false)
        from found f),
    noted as (
      insert into errand.events (
        seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
      select f.link, f.link, v_now, array[f.id], array[f.last], f.version + 1, 16 /* skipped event */, 6 /* failed */, f.name, f.queue, f.tags, f.run, f.attempt, p_data
        from found f)
    select 'skipped', f.id, f.queue, f.lane from found f;
  return query select 'ticket', p.id, p.queue, p.lane from errand.pass_keys(v_queues, v_keys, v_now) p where not p.pending;
end $$;
