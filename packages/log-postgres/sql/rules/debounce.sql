-- A newer payload for a job that waits.

/*
 * Replaces the payload of a job that has not started. If it is scheduled, it is due p_wait ms from now, and at the latest p_at_most
 * ms after it was dispatched. Answers nothing for a job that runs or has ended. Else: whether it has become ready, its lane, its queue.
 */
create function errand.debounce(
  p_id uuid, p_codec text, p_payload text, p_wait bigint, p_at_most bigint, p_lock_timeout text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_now timestamptz := errand.clock();
  v_run_at timestamptz;
  v_live errand.live;
  v_holder uuid;
  v_state smallint;
  v_wait bigint := case when p_wait not between 0 and 3153600000000
                        then errand.out_of_bounds('a duration', p_wait) else p_wait end;
  v_at_most bigint := case when p_at_most not between 0 and 3153600000000
                           then errand.out_of_bounds('a duration', p_at_most) else p_at_most end;
begin
  if p_lock_timeout is not null then perform set_config('lock_timeout', p_lock_timeout, true); end if;
  select l.* into v_live from errand.live l where l.id = p_id;
  if v_live.key is not null then perform errand.lock_keys(array[v_live.queue], array[v_live.key]); end if;
  perform errand.lock_jobs(array[p_id]);
  select l.* into v_live from errand.live l where l.id = p_id;
  if not found or v_live.state not in (1 /* scheduled */, 2 /* blocked */, 3 /* ready */) then return null; end if;
  update errand.jobs j
     set codec = case when octet_length(p_codec) > 128 then errand.out_of_bounds('an id or codec', p_codec) else p_codec end,
         payload = case when octet_length(p_payload) > 25165824 then errand.out_of_bounds('a payload', p_payload) else p_payload end
   where j.seq = v_live.seq;
  v_state := v_live.state;
  if v_state = 1 /* scheduled */ then
    v_run_at := (select least(v_now + v_wait * interval '1 millisecond', j.dispatched_at + v_at_most * interval '1 millisecond')
                   from errand.jobs j where j.seq = v_live.seq);
    if v_run_at <= v_now then
      v_state := 3 /* ready */;
      if v_live.key is not null then
        insert into errand.keys as k (queue, key, holder) values (v_live.queue, v_live.key, p_id)
        on conflict (queue, key) do update set holder = k.holder
        returning k.holder into v_holder;
        if v_holder <> p_id then v_state := 2 /* blocked */; end if;
      end if;
      if v_live.has_needs and errand.unmet(array[p_id]) <> '{}' then v_state := 2 /* blocked */; end if;
      if v_state = 3 /* ready */ and v_live.lim is not null then
        v_state := 2 /* blocked */;
        v_live.at_limit := true;
      end if;
    end if;
  end if;
  -- A job that is ready or blocked has waited long enough. Its grace goes on, so that a stream of dispatches cannot hide a lost ticket.
  with moved as (
    update errand.live l
       set state = v_state, held = nullif(v_state, 3 /* ready */), at_limit = v_live.at_limit, version = l.version + 1,
           before = l.last, last = nextval('errand.events_seq'),
           run_at = case when v_state = 1 /* scheduled */ then v_run_at end,
           turn = case when v_state = 3 /* ready */ and l.share is not null
                       then errand.turn_of(l.queue, l.lane, l.share, l.turn) end,
           publishes = case when v_live.state = 1 /* scheduled */ then 0 else l.publishes end,
           publish_after = case when v_live.state <> 1 /* scheduled */ then l.publish_after
                                when v_state = 3 /* ready */ then v_now + interval '30 seconds' end
     where l.id = p_id
    returning l.*)
  insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, run_at, data)
  select m.last, m.last, array[m.id], array[m.before], m.version, 15 /* changed event */, m.state, m.name, m.queue, m.tags, m.run,
         m.attempt, m.run_at,
         case when v_live.state = 1 /* scheduled */ then '{"by":"debounce","changed":["runAt","payload"]}'
              else '{"by":"debounce","changed":["payload"]}' end
    from moved m;
  if v_live.lim is not null and v_live.state = 1 /* scheduled */ and v_state <> 1 /* scheduled */ and v_live.at_limit then
    if p_lock_timeout is null then
      insert into errand.limit_notes (lim, lim_key) values (v_live.lim, v_live.lim_key);
    elsif exists (select from errand.admit(array[v_live.lim], array[v_live.lim_key], v_now) a where a.id = p_id) then
      v_state := 3 /* ready */;
      update errand.live l set publish_after = v_now + interval '30 seconds' where l.id = p_id;
    end if;
  end if;
  return concat_ws(' ', (v_state = 3 /* ready */ and v_live.state <> 3 /* ready */)::text, v_live.lane, v_live.queue);
end $$;
