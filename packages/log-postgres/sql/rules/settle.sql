-- Settling never waits. For a row that another transaction has locked it answers `locked`, and the worker settles that one
-- again alone. The answer is text, a line per fact with tabs between: `settled id event state run_at queue lane`,
-- `next id its-successor lane queue`, `pending id`, `already …`, `claim-lost …`, `locked id`.

create function errand.settle(
  p_ids text, p_runs text, p_kinds text, p_delays text, p_codecs text, p_bodies text, p_durations text, p_extras text,
  p_worker text, p_lock_timeout text, p_inside boolean default false
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[] := p_ids::uuid[];
  v_runs integer[] := p_runs::integer[];
  v_kinds smallint[] := p_kinds::smallint[];
  v_settled uuid[];
  v_answer text;
  v_queues text[];
  v_keys text[];
  v_holders uuid[];
  v_kept uuid[];
  v_freed uuid[];
  v_limited uuid[];
  v_lims text[];
  v_lim_keys text[];
  v_suspended uuid[];
  v_waits text[];
  v_durations text[];
  v_ended uuid[];
  v_states smallint[];
  v_needed boolean[];
  v_flows uuid[];
  v_may_fail boolean[];
  v_callers uuid[];
begin
  if p_lock_timeout is not null then
    perform set_config('lock_timeout', p_lock_timeout, true);
    perform 1 from (select from errand.live l where l.id = any (v_ids) order by l.id for update) locked;
    perform 1 from (select from errand.ended x where x.id = any (v_ids) order by x.id for update) locked;
  end if;

  with c as materialized (
    select f.*, nextval('errand.events_seq') as link,
           case when f.becomes = 1 /* scheduled */
                then v_now + case when f.delay is not null then least(greatest(f.delay, 0), 3153600000000) end
                             * interval '1 millisecond' end as run_at,
           -- errored, and its end follows at once
           f.kind in (2 /* error */, 9 /* completed */) and f.becomes <> 1 /* scheduled */ as two,
           f.attempts - (f.kind in (4 /* snooze */, 5 /* park */, 7 /* release begun */, 6 /* release unbegun */)
                         and f.becomes in (1 /* scheduled */, 3 /* ready */))::integer as attempt,
           f.becomes in (1 /* scheduled */, 3 /* ready */, 8 /* suspended */)
             or (f.becomes = 6 /* failed */ and f.key is not null and not f.skips_on_failure) as stays
      from (
        select l.id, l.key, l.lim, l.lim_key, l.queue, l.lane, l.name, l.tags, l.run, l.version, l.attempt as attempts, l.unique_mode,
               l.needed, l.flow, l.may_fail, l.has_needs,
               l.skips_on_failure, l.cancel, l.last, l.seq, l.share, s.kind, s.delay, s.codec, s.body, s.duration, s.extra,

  case
    when s.kind = 1 /* succeed */ then 5 /* succeeded */
    when l.cancel is not null or s.kind = 8 /* cancel */ then 7 /* cancelled */
    when s.kind in (2 /* error */, 9 /* completed */) then case when s.delay is null then 6 /* failed */ else 1 /* scheduled */ end
    when s.kind = 3 /* fail */ then 6 /* failed */
    when s.kind in (4 /* snooze */, 5 /* park */) then 1 /* scheduled */
    when s.kind = 10 /* suspend */ then 8 /* suspended */
    -- The run has begun and nobody knows what it did, so it must not start again.
    when s.kind = 7 /* release begun */ and l.fails_on_crash then 6 /* failed */
    else 3 /* ready */
  end as becomes
          from unnest(v_ids, v_runs, v_kinds, p_delays::bigint[], p_codecs::text[], p_bodies::text[],
                      p_durations::text[], p_extras::text[])
            as s (id, run, kind, delay, codec, body, duration, extra)
         cross join lateral (
           select * from errand.live l
            where l.id = s.id and l.run = s.run and l.state = 4 /* running */ and l.worker = p_worker
              and (p_inside or age(l.xmin) >= 0)
              for update skip locked) l) f),
  told as materialized (
    select c.*, case when c.two then nextval('errand.events_seq') end as second from c),
  gone as (
    delete from errand.live l using c where l.id = any (array[c.id]) and not c.stays),
  done as (
    insert into errand.ended (id, seq, at, last, version, run, state, shares)
    select c.id, c.seq, v_now, coalesce(c.second, c.link), c.version + 1 + c.two::integer, nullif(c.run, 1), c.becomes,
           nullif(c.share is not null, false)
      from told c where not c.stays),
  ranged as (
    insert into errand.succeeded_ranges (start)
    select s.start from (select distinct errand.range_start(c.seq) as start from c where c.becomes = 5 /* succeeded */) s
     where not exists (select from errand.succeeded_ranges r where r.start = any (array[s.start]) and not r.leaving)),
  kept as (
    update errand.live l
       set last = coalesce(c.second, c.link), state = c.becomes, held = nullif(c.becomes, 3 /* ready */), run_at = c.run_at,
           attempt = c.attempt, version = c.version + 1 + c.two::integer, streak = null,
           publish_after = case when c.becomes = 3 /* ready */ then v_now end, publishes = 0,
           turn = case when c.becomes = 3 /* ready */ and l.share is not null
                       then errand.turn_of(l.queue, l.lane, l.share, l.turn) end,
           parked_since = case when c.kind = 5 /* park */ then coalesce(l.parked_since, v_now) end,
           worker = null, deadline = null
      -- Those that are suspended have a rule of their own.
      from told c where l.id = any (array[c.id]) and c.stays and c.becomes <> 8 /* suspended */),
  noted as (
    insert into errand.events (
      seq, link, at, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, run_at, data, codec, bodies)
    select c.link, c.link, v_now, array[c.id], array[c.last], c.version + 1,
           case when c.kind in (2 /* error */, 9 /* completed */) then 7 /* errored event */
                when c.becomes = 5 /* succeeded */ then 6 /* succeeded event */
                when c.becomes = 6 /* failed */ then 12 /* failed event */
                when c.becomes = 7 /* cancelled */ then 14 /* cancelled event */
                when c.becomes = 3 /* ready */ then 9 /* released event */
                else 8 /* snoozed event */ end,
           case when c.two then 4 /* running */ else c.becomes end,
           c.name, c.queue, c.tags, c.run, c.attempt, p_worker, c.run_at,
           nullif('{' || concat_ws(',', c.duration, case when c.two or c.cancel is null
                  then case when c.kind = 7 /* release begun */ and c.becomes = 6 /* failed */ then '"cause":"lost"' else c.extra end
                  when c.becomes = 7 /* cancelled */ then c.cancel end) || '}', '{}'),
           case when c.two or c.becomes not in (7 /* cancelled */, 3 /* ready */) then c.codec end,
           case when c.two or c.becomes not in (7 /* cancelled */, 3 /* ready */) and c.body is not null then array[c.body] end
      from c where c.becomes <> 8 /* suspended */
    union all
    select c.second, c.second, v_now, array[c.id], array[c.link], c.version + 2, case when c.becomes = 6 /* failed */ then 12 /* failed event */ else 14 /* cancelled event */ end,
           c.becomes, c.name, c.queue, c.tags, c.run, c.attempt, p_worker, null,
           nullif('{' || concat_ws(',', case when c.becomes = 6 /* failed */ then c.extra else c.cancel end) || '}', '{}'),
           case when c.becomes = 6 /* failed */ then c.codec end,
           case when c.becomes = 6 /* failed */ and c.body is not null then array[c.body] end
      from told c where c.two)
  select array_agg(c.id),
         string_agg(concat_ws(E'\t', 'settled', c.id,
           case when c.becomes = 5 /* succeeded */ then 6 /* succeeded event */
                when c.becomes = 6 /* failed */ then 12 /* failed event */
                when c.becomes = 7 /* cancelled */ then 14 /* cancelled event */
                when c.becomes = 3 /* ready */ then 9 /* released event */
                when c.kind in (4 /* snooze */, 5 /* park */) then 8 /* snoozed event */
                else 7 /* errored event */ end,
           c.becomes, coalesce(errand.ms(c.run_at)::text, ''), c.queue, c.lane), E'\n')
           filter (where c.becomes <> 8 /* suspended */),
         array_agg(c.queue) filter (where c.key is not null and not c.stays),
         array_agg(c.key) filter (where c.key is not null and not c.stays),
         array_agg(c.id) filter (where c.key is not null and not c.stays),
         array_agg(c.id) filter (where c.unique_mode <> 0 /* not unique */ and c.becomes = 5 /* succeeded */),
         array_agg(c.id) filter (where c.unique_mode <> 0 /* not unique */ and c.becomes in (6 /* failed */, 7 /* cancelled */)),
         -- A job that goes back to ready keeps its place.
         array_agg(c.id) filter (where c.lim is not null and c.becomes <> 3 /* ready */),
         array_agg(c.lim) filter (where c.lim is not null and c.becomes <> 3 /* ready */),
         array_agg(c.lim_key) filter (where c.lim is not null and c.becomes <> 3 /* ready */),
         array_agg(c.id) filter (where c.becomes = 8 /* suspended */), array_agg(c.body) filter (where c.becomes = 8 /* suspended */),
         array_agg(c.duration) filter (where c.becomes = 8 /* suspended */),
         array_agg(c.id) filter (where c.matters), array_agg(c.becomes) filter (where c.matters),
         array_agg(c.needed) filter (where c.matters), array_agg(c.flow) filter (where c.matters),
         array_agg(c.may_fail) filter (where c.matters),
         array_agg(c.id) filter (where c.has_needs and c.becomes = 7 /* cancelled */)
    into v_settled, v_answer, v_queues, v_keys, v_holders, v_kept, v_freed, v_limited, v_lims, v_lim_keys, v_suspended, v_waits,
         v_durations, v_ended, v_states, v_needed, v_flows, v_may_fail, v_callers
    from (select c.*, c.becomes in (5 /* succeeded */, 6 /* failed */, 7 /* cancelled */) and (c.needed or c.flow is not null) as matters
            from c) c;

  if v_suspended is not null then
    v_answer := concat_ws(E'\n', v_answer, errand.suspend(v_suspended, v_waits, v_durations, v_now, p_worker));
  end if;
  if v_callers is not null and errand.leave_calls(v_callers) then
    v_answer := concat_ws(E'\n', v_answer, concat_ws(E'\t', 'pending', v_callers[1]));
  end if;
  if v_kept is not null then perform errand.free_unique(v_kept, true); end if;
  if v_freed is not null then perform errand.free_unique(v_freed, false); end if;
  if v_keys is not null then
    v_answer := concat_ws(E'\n', v_answer, errand.pass_ended(v_holders, v_queues, v_keys, v_now));
  end if;
  if v_ended is not null then
    v_answer := concat_ws(E'\n', v_answer,
      errand.lines_after_end(v_ended, v_states, v_needed, v_flows, v_may_fail, v_now, p_inside));
  end if;
  if v_lims is not null then
    v_answer := concat_ws(E'\n', v_answer, errand.admit_after(v_limited, v_lims, v_lim_keys, v_now, p_inside));
  end if;

  if coalesce(cardinality(v_settled), 0) < cardinality(v_ids) then
    for v_i in 1 .. cardinality(v_ids) loop
      if v_settled is null or not v_ids[v_i] = any (v_settled) then
        v_answer := concat_ws(E'\n', v_answer, errand.refuse(v_ids[v_i], v_runs[v_i], v_kinds[v_i], p_worker));
      end if;
    end loop;
  end if;
  return v_answer;
end $$;

/*
 * A settlement whose fence did not match: settled before by this very run (its answer was lost), or taken away from it.
 * Which of the two is read from the job's own events: they are written in one transaction with the state, so no column
 * of the narrow row has to remember it, and it is still known when that row has gone.
 */
create function errand.refuse(p_id uuid, p_run integer, p_kind smallint, p_worker text) returns text
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_live errand.live;
  v_last record;
  v_found record;
  v_next text;
  v_link bigint;
begin
  select l.* into v_live from errand.live l where l.id = p_id for update skip locked;
  if not found then
    if exists (select from errand.live l where l.id = p_id) then return concat_ws(E'\t', 'locked', p_id); end if;
    -- The job has ended: its events are written under the lock of this row.
    perform 1 from (select from errand.ended x where x.id = p_id for update skip locked) locked;
    if not found then
      if exists (select from errand.known j where j.id = p_id) then return concat_ws(E'\t', 'locked', p_id); end if;
      return concat_ws(E'\t', 'unknown', p_id);
    end if;
    -- The job was replayed after the first statement.
    if exists (select from errand.live l where l.id = p_id) then return concat_ws(E'\t', 'locked', p_id); end if;
  elsif v_live.state = 4 /* running */ and v_live.run = p_run and v_live.worker = p_worker then
    return concat_ws(E'\t', 'locked', p_id);
  end if;

  select e.type, e.state, errand.ms(e.run_at) as run_at into v_found
    from errand.events_of(array[p_id], null) e
   where e.run = p_run and e.worker = p_worker
     and e.type in (6 /* succeeded event */, 7 /* errored event */, 8 /* snoozed event */, 9 /* released event */,
                    12 /* failed event */, 14 /* cancelled event */, 18 /* suspended event */)
   order by e.version desc limit 1;
  if found then
    if p_kind = 9 /* completed */ and v_found.type = 6 /* succeeded event */ then
      -- The completion has passed the key on inside its transaction. Now it answers the tickets of the next jobs.
      select string_agg(concat_ws(E'\t', 'next', p_id, l.id, l.lane, l.queue), '') into v_next
        from errand.known j
        join errand.keys k on k.queue = any (array[j.queue]) and k.key = j.key
        join errand.live l on l.id = any (array[k.holder])
       where j.id = p_id and l.state = 3 /* ready */ and l.id <> p_id;
      -- It may have left notes as well, about its key and its limit.
      if v_next is null and exists (
        select from errand.known j
         where j.id = p_id
           and (exists (select from errand.key_notes n where n.queue = j.queue and n.key = j.key)
                or exists (select from errand.limit_notes n where n.lim = j.lim and n.lim_key = j.lim_key)
                or exists (select from errand.work_notes n where n.kind <> 3 /* count note */ and n.target = p_id)
                or exists (select from errand.work_notes n where n.kind = 3 /* count note */ and n.target = j.flow)))
      then
        v_next := concat_ws(E'\t', 'pending', p_id);
      end if;
      return concat_ws(E'\n', concat_ws(E'\t', 'settled', p_id, v_found.type, v_found.state, '', '', ''), v_next);
    end if;
    return concat_ws(E'\t', 'already', p_id, v_found.type, v_found.state, coalesce(v_found.run_at::text, ''));
  end if;

  if v_live.id is null then
    select e.version, e.state, e.name, e.queue, e.tags, e.run, e.attempt, e.tx > pg_current_xact_id() as is_late into v_last
      from errand.events_of(array[p_id], null) e order by e.version desc limit 1;
    -- The history of the job has been dropped.
    if not found then return concat_ws(E'\t', 'unknown', p_id); end if;
  else
    select v_live.version as version, v_live.state as state, v_live.name as name, v_live.queue as queue,
           v_live.tags as tags, v_live.run as run, v_live.attempt as attempt,
           (select not age(l.xmin) >= 0 from errand.live l where l.id = p_id) as is_late
      into v_last;
  end if;
  if v_last.is_late then return concat_ws(E'\t', 'locked', p_id); end if;
  if not exists (
    select from errand.events_of(array[p_id], null) e
     where e.type = 11 /* fenced event */ and e.data = format('{"fencedRun":%s}', p_run))
  then
    v_link := nextval('errand.events_seq');
    insert into errand.events (
      seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, data)
    values (v_link, v_link, array[p_id],
            array[coalesce(v_live.last, (select x.last from errand.ended x where x.id = p_id))],
            v_last.version + 1, 11 /* fenced event */, v_last.state, v_last.name, v_last.queue, v_last.tags,
            v_last.run, v_last.attempt, p_worker, format('{"fencedRun":%s}', p_run));
    update errand.live l set version = v_last.version + 1, last = v_link where l.id = p_id;
    update errand.ended x set version = v_last.version + 1, last = v_link where x.id = p_id and v_live.id is null;
  end if;
  return concat_ws(E'\t', 'claim-lost', p_id, 11 /* fenced event */, v_last.state);
end $$;

/*
 * Succeeds a run inside the caller's transaction. If the fence does not match, the transaction fails and cannot commit.
 * Events are read in the order of transaction numbers, and that transaction may have got its number before the job's last
 * event was written. Then the new event gets the number of a subtransaction, which is later than all numbers so far.
 */
create function errand.complete(p_id text, p_run text, p_codec text, p_body text, p_worker text) returns text
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_answer text;
  v_version integer;
  v_is_late boolean;
  v_tx bigint;
begin
  perform 1 from (select from errand.live l where l.id = p_id::uuid for update) locked;
  select l.version, not age(l.xmin) >= 0 into v_version, v_is_late from errand.live l where l.id = p_id::uuid;
  if v_is_late then
    begin
      update errand.live l set version = l.version where l.id = p_id::uuid returning xmin::text::bigint into v_tx;
    exception when others then raise;
    end;
    -- Numbers have 64 bits, and a row has only the lower 32.
    v_tx := v_tx + ((pg_current_xact_id()::text::bigint >> 32) << 32);
    if v_tx < pg_current_xact_id()::text::bigint then v_tx := v_tx + (1::bigint << 32); end if;
  end if;
  v_answer := errand.settle('{' || p_id || '}', '{' || p_run || '}', '{1}' /* succeed */, null,
                          array[p_codec]::text, array[p_body]::text, null, null, p_worker, null, true);
  if v_answer not like 'settled%' then
    raise exception 'errand: the claim on job % is lost', p_id using errcode = 'ERR02';
  end if;
  if v_tx is not null then
    update errand.events e set tx = v_tx::text::xid8
     where e.tx = pg_current_xact_id() and e.jobs = array[p_id::uuid] and e.version > v_version;
  end if;
  return v_answer;
end $$;
