import { eventCode, stateCode, uniqueCode } from '../../codes.ts'
import { within } from './bounds.ts'
import { againIf, foundBy, hot, isEarlier, stateIs } from './hot.ts'

const { scheduled, blocked, ready, running, succeeded, failed, cancelled } = stateCode

/** What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id. */
export const operate = (s: string): string => `
-- Rows of kind \`cancelled\`, \`requested\` (\`worker\`: who runs it; \`asked\` when it was asked for before) and \`ticket\`.
create function ${s}.cancel(p_ids uuid[], p_note text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint, worker text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_queues text[];
  v_keys text[];
  v_freed uuid[] := '{}';
  v_unique_mode smallint;
  v_is_late boolean;
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select array_agg(l.queue) filter (where l.key is not null), array_agg(l.key) filter (where l.key is not null)
    into v_queues, v_keys
    from ${s}.live l where l.id = any (p_ids);
  if v_keys is not null then perform ${s}.lock_keys(v_queues, v_keys); end if;

  for kind, id, queue, lane, worker, v_unique_mode, v_is_late in
    with found as materialized (
      select l.*, not ${isEarlier('l')} as is_late
        from ${s}.live l where l.id = any (p_ids) and l.state <> ${failed} order by l.id for update),
    gone as (delete from ${s}.live l using found f where ${foundBy('l.id', 'f.id')} and f.state <> ${running}),
    asked as (
      update ${s}.live l set cancel = p_note, version = l.version + 1
        from found f where ${foundBy('l.id', 'f.id')} and f.state = ${running} and f.cancel is null),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, data)
      select f.id, f.version + 1,
             case when f.state = ${running} then ${eventCode.cancel_requested} else ${eventCode.cancelled} end,
             case when f.state = ${running} then ${running} else ${cancelled} end,
             f.name, f.queue, f.tags, f.run, f.attempt, '{' || p_note || '}'
        from found f where f.state <> ${running} or f.cancel is null)
    select case when f.state <> ${running} then 'cancelled' when f.cancel is null then 'requested' else 'asked' end,
           f.id, f.queue, f.lane, f.worker, f.unique_mode, f.is_late
      from found f
  loop${againIf('v_is_late').replaceAll('\n', '\n  ')}
    if kind = 'cancelled' and v_unique_mode <> ${uniqueCode.none} then v_freed := v_freed || id; end if;
    return next;
  end loop;
  if v_freed <> '{}' then perform ${s}.free_unique(v_freed, false); end if;
  if v_keys is not null then
    return query select 'ticket', p.id, p.queue, p.lane, null::text
                   from ${s}.pass_keys(v_queues, v_keys, v_now) p where not p.pending;
  end if;
end $$;

/*
 * Starts final jobs anew. Rows of kind \`replayed\`, \`ticket\` and \`duplicate\`. A job whose events have been dropped
 * already cannot be: nobody knows its runs any more.
 */
create function ${s}.replay(p_ids uuid[], p_data text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_ids uuid[];
  v_names text[];
  v_unique_keys text[];
  v_unique_ids uuid[];
  v_holders uuid[];
  v_mine uuid[];
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  v_ids := array(
    select j.id from ${s}.jobs j
     where j.id = any (p_ids)
       and not exists (select from ${s}.live l where ${foundBy('l.id', 'j.id')} and l.state <> ${failed})
       and exists (select from ${s}.job_events e where ${foundBy('e.job_id', 'j.id')}));

  select array_agg(j.name), array_agg(j.unique_key), array_agg(j.id) into v_names, v_unique_keys, v_unique_ids
    from ${s}.jobs j where j.id = any (v_ids) and j.unique_key is not null;
  if v_unique_ids is not null then
    v_holders := ${s}.take_unique(v_names, v_unique_keys, v_unique_ids);
    -- Its own key, kept for a time after its end, is held again until the new one.
    update ${s}.unique_keys u set free_at = null from ${s}.jobs j
     where j.id = any (v_unique_ids) and ${foundBy('u.name', 'j.name')} and u.key = j.unique_key
       and u.job_id = j.id and u.free_at is not null;
    return query
      select 'duplicate', t.id, null::text, null::smallint
        from unnest(v_unique_ids, v_holders) as t (id, holder) where t.id <> t.holder;
    v_ids := array(
      select t.id from unnest(v_ids) as t (id)
       where not exists (
         select from unnest(v_unique_ids, v_holders) as h (id, holder) where h.id = t.id and h.holder <> t.id));
  end if;

  with wanted as (
    select distinct on (j.queue, j.key) j.queue, j.key, j.id
      from ${s}.jobs j where j.id = any (v_ids) and j.key is not null
     order by j.queue, j.key, array_position(p_ids, j.id)),
  locked as (
    insert into ${s}.keys as k (queue, key, holder)
    select w.queue, w.key, w.id from wanted w order by w.queue, w.key
    on conflict (queue, key) do update set holder = k.holder
    returning k.holder)
  select array_agg(locked.holder) into v_mine from locked;
  perform 1 from (select from ${s}.live l where l.id = any (v_ids) order by l.id for update) locked;
  perform 1 from (select from ${s}.jobs j where j.id = any (v_ids) order by j.id for update) locked;
  ${againIf(`exists (select from ${s}.live l where l.id = any (v_ids) and not ${isEarlier('l')})
     or exists (select from ${s}.job_events e where e.job_id = any (v_ids) and e.tx > pg_current_xact_id())`)}

  return query
    with final as materialized (
      select j.id, j.seq, j.timeout_ms, j.max_crashes, j.lane, j.unique_mode, j.fails_on_crash, j.skips_on_failure,
             j.queue, j.name, j.tags, j.key, greatest(e.version, l.version) + 1 as version, coalesce(l.run, e.run) as run,
             j.replays + (coalesce(l.state, e.state) = ${succeeded})::integer as replays,
             case when j.key is null or j.id = any (v_mine) then ${ready} else ${blocked} end::smallint as becomes
        from ${s}.jobs j
        left join ${s}.live l on ${foundBy('l.id', 'j.id')}
        left join lateral (
          select e.version, e.run, e.state from ${s}.job_events e
           where e.job_id = j.id order by e.version desc limit 1
        ) e on true
       where j.id = any (v_ids) and (l.id is null or l.state = ${failed}) and (l.id is not null or e.version is not null)),
    counted as (
      update ${s}.jobs j set replays = f.replays, events_since = least(j.events_since, nullif(least(v_now, j.dispatched_at), j.dispatched_at))
        from final f
       where ${foundBy('j.id', 'f.id')} and (j.replays <> f.replays or v_now < j.dispatched_at)),
    put as (
      insert into ${s}.live as l (
        id, seq, publish_after, timeout_ms, run, version, max_crashes, replays, lane, state, unique_mode, fails_on_crash,
        skips_on_failure, queue, name, tags, key)
      select f.id, f.seq, case when f.becomes = ${ready} then v_now end, f.timeout_ms, f.run, f.version, f.max_crashes,
             f.replays, f.lane, f.becomes, f.unique_mode, f.fails_on_crash, f.skips_on_failure, f.queue, f.name, f.tags, f.key
        from final f order by f.seq
      on conflict (id) do update
         set publish_after = excluded.publish_after, version = excluded.version, replays = excluded.replays,
             state = excluded.state, attempt = 0, crashes = 0, streak = 0, publishes = 0, parked_since = null, cancel = null),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, data)
      select f.id, f.version, ${eventCode.replayed}, f.becomes, f.name, f.queue, f.tags, f.run, 0, p_data
        from final f order by f.seq)
    select case when f.becomes = ${ready} then 'ticket' else 'replayed' end, f.id, f.queue, f.lane from final f;
end $$;

-- Gives the key of failed holders to the next job. Rows of kind \`skipped\` and \`ticket\`.
create function ${s}.skip(p_ids uuid[], p_data text, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_queues text[];
  v_keys text[];
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select array_agg(l.queue), array_agg(l.key) into v_queues, v_keys
    from ${s}.live l where l.id = any (p_ids) and ${stateIs('l', failed)};
  if v_keys is null then return; end if;
  perform ${s}.lock_keys(v_queues, v_keys);
  perform 1 from (
    select from ${s}.live l where l.id = any (p_ids) and ${stateIs('l', failed)} order by l.id for update) locked;${againIf(
      `exists (select from ${s}.live l where l.id = any (p_ids) and not ${isEarlier('l')})`,
    )}
  return query
    with found as materialized (
      select l.* from ${s}.live l where l.id = any (p_ids) and ${stateIs('l', failed)} order by l.id for update),
    gone as (delete from ${s}.live l using found f where ${foundBy('l.id', 'f.id')}),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, data)
      select f.id, f.version + 1, ${eventCode.skipped}, ${failed}, f.name, f.queue, f.tags, f.run, f.attempt, p_data
        from found f)
    select 'skipped', f.id, f.queue, f.lane from found f;
  return query select 'ticket', p.id, p.queue, p.lane from ${s}.pass_keys(v_queues, v_keys, v_now) p where not p.pending;
end $$;

/*
 * Edits a job that waits. Answers the state after it (\`ok\`), or why not: \`unknown\`, \`final\` or the state, \`key\`.
 */
create function ${s}.change(
  p_id uuid, p_lane smallint, p_queue text, p_run_at_ms bigint, p_codec text, p_payload text, p_data text,
  p_publish_grace_ms integer, p_lock_timeout text
) returns table (verdict text, state smallint, queue text, lane smallint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_run_at timestamptz := to_timestamp(${within(s, 'time', 'p_run_at_ms')} / 1000.0);
  v_live ${s}.live;
  v_holder uuid;
  v_state smallint;
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  select l.* into v_live from ${s}.live l where l.id = p_id;
  if v_live.key is not null then perform ${s}.lock_keys(array[v_live.queue], array[v_live.key]); end if;
  select l.* into v_live from ${s}.live l where l.id = p_id for update;
  if not found or v_live.state = ${failed} then
    verdict := case when exists (select from ${s}.jobs j where j.id = p_id) then 'final' else 'unknown' end;
  elsif v_live.state = ${running} then
    verdict := 'running';
  elsif p_queue <> v_live.queue and v_live.key is not null then
    verdict := 'key';
  else
    verdict := 'ok';
  end if;
  if verdict <> 'ok' then
    return next;
    return;
  end if;${againIf(`exists (select from ${s}.live l where l.id = p_id and not ${isEarlier('l')})`)}

  v_state := v_live.state;
  if v_run_at > v_now then
    v_state := ${scheduled};
  elsif v_run_at is not null then
    v_state := ${ready};
    if v_live.key is not null then
      insert into ${s}.keys as k (queue, key, holder) values (v_live.queue, v_live.key, p_id)
      on conflict (queue, key) do update set holder = k.holder
      returning k.holder into v_holder;
      if v_holder <> p_id then v_state := ${blocked}; end if;
    end if;
  end if;
  if p_payload is not null or p_queue is not null or p_lane is not null then
    update ${s}.jobs j
       set queue = coalesce(${within(s, 'queue', 'p_queue')}, j.queue), lane = coalesce(${within(s, 'lane', 'p_lane')}, j.lane),
           codec = coalesce(${within(s, 'text', 'p_codec')}, j.codec), payload = coalesce(${within(s, 'payload', 'p_payload')}, j.payload)
     where j.id = p_id;
  end if;
  return query
    with moved as (
      update ${s}.live l
         set state = v_state, lane = coalesce(p_lane, l.lane), queue = coalesce(p_queue, l.queue), version = l.version + 1,
             run_at = case when v_state = ${scheduled} then coalesce(v_run_at, l.run_at) end, publishes = 0,
             publish_after = case when v_state = ${ready} then v_now + p_publish_grace_ms * interval '1 millisecond' end
       where l.id = p_id
      returning l.*),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, run_at, data)
      select m.id, m.version, ${eventCode.changed}, m.state, m.name, m.queue, m.tags, m.run, m.attempt, m.run_at, p_data
        from moved m)
    select 'ok', m.state, m.queue, m.lane from moved m;
end $$;
`
