-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

/*
 * Edits a job that waits. Answers the state after it (`ok`), or why not: `unknown`, `final` or the state, `key`.
 */
create function errand.change(
  p_id uuid, p_lane smallint, p_queue text, p_run_at_ms bigint, p_codec text, p_payload text, p_data text,
  p_publish_grace_ms integer, p_lock_timeout text
) returns table (verdict text, state smallint, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_run_at timestamptz := to_timestamp(case when p_run_at_ms not between -62135596800000 and 253402300799999
                                            then errand.out_of_bounds('a time', p_run_at_ms)
                                            else p_run_at_ms end / 1000.0);
  v_live errand.live;
  v_holder uuid;
  v_state smallint;
  v_at_limit boolean;
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select l.* into v_live from errand.live l where l.id = p_id;
  if v_live.key is not null then perform errand.lock_keys(array[v_live.queue], array[v_live.key]); end if;
  perform errand.lock_jobs(array[p_id]);
  select l.* into v_live from errand.live l where l.id = p_id;
  if not found or v_live.state = 6 /* failed */ then
    verdict := case when exists (select from errand.known j where j.id = p_id) then 'final' else 'unknown' end;
  elsif v_live.state = 4 /* running */ then
    verdict := 'running';
  -- It has begun with its payload, and goes on by its waits.
  elsif v_live.state = 8 /* suspended */ and (p_queue is not null or p_run_at_ms is not null or p_payload is not null) then
    verdict := 'suspended';
  elsif p_queue <> v_live.queue and v_live.key is not null then
    verdict := 'key';
  else
    verdict := 'ok';
  end if;
  if verdict <> 'ok' then
    return next;
    return;
  end if;
  v_state := v_live.state;
  v_at_limit := v_live.at_limit;
  if v_run_at > v_now then
    v_state := 1 /* scheduled */;
    v_at_limit := null;
  -- A job that is ready has passed its gates.
  elsif v_run_at is not null and v_state <> 3 /* ready */ then
    v_state := 3 /* ready */;
    v_at_limit := null;
    if v_live.key is not null then
      insert into errand.keys as k (queue, key, holder) values (v_live.queue, v_live.key, p_id)
      on conflict (queue, key) do update set holder = k.holder
      returning k.holder into v_holder;
      if v_holder <> p_id then v_state := 2 /* blocked */; end if;
    end if;
    if v_live.has_needs and errand.unmet(array[p_id]) <> '{}' then v_state := 2 /* blocked */; end if;
    if v_state = 3 /* ready */ and v_live.lim is not null then
      v_state := 2 /* blocked */;
      v_at_limit := true;
    end if;
  end if;
  if p_payload is not null or p_queue is not null or p_lane is not null then
    update errand.jobs j
       set queue = coalesce(case when p_queue !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
                                 then errand.out_of_bounds('a queue', p_queue) else p_queue end, j.queue),
           lane = coalesce(case when p_lane not in (100, 200, 300, 400)
                                then errand.out_of_bounds('a lane', p_lane) else p_lane end, j.lane),
           codec = coalesce(case when octet_length(p_codec) > 128
                                 then errand.out_of_bounds('an id or codec', p_codec) else p_codec end, j.codec),
           payload = coalesce(case when octet_length(p_payload) > 25165824
                                   then errand.out_of_bounds('a payload', p_payload) else p_payload end, j.payload)
     where j.seq = v_live.seq;
  end if;
  with moved as (
      update errand.live l
         set state = v_state, held = nullif(v_state, 3 /* ready */), at_limit = v_at_limit, lane = coalesce(p_lane, l.lane), queue = coalesce(p_queue, l.queue), version = l.version + 1,
             before = l.last, last = nextval('errand.events_seq'),
             run_at = case when v_state in (1 /* scheduled */, 8 /* suspended */) then coalesce(v_run_at, l.run_at) end, publishes = 0,
             publish_after = case when v_state = 3 /* ready */ then v_now + p_publish_grace_ms * interval '1 millisecond' end,
             turn = case when v_state = 3 /* ready */ and l.share is not null
                         then errand.turn_of(coalesce(p_queue, l.queue), coalesce(p_lane, l.lane), l.share,
                           case when coalesce(p_queue, l.queue) = l.queue and coalesce(p_lane, l.lane) = l.lane then l.turn end) end
       where l.id = p_id
      returning l.*),
    noted as (
      insert into errand.events (
        seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, run_at, data)
      select m.last, m.last, array[m.id], array[m.before], m.version, 15 /* changed event */, m.state, m.name, m.queue, m.tags, m.run, m.attempt,
             case when m.state = 1 /* scheduled */ then m.run_at end, p_data
        from moved m)
    select m.state, m.queue, m.lane into state, queue, lane from moved m;
  -- Other jobs that may go now are due for publishing at once.
  if v_live.lim is not null
    and exists (select from errand.admit(array[v_live.lim], array[v_live.lim_key], v_now) a where a.id = p_id)
  then
    state := 3 /* ready */;
    update errand.live l set publish_after = v_now + p_publish_grace_ms * interval '1 millisecond' where l.id = p_id;
  end if;
  return next;
end $$;
