import { eventCode, settleCode, stateCode, uniqueCode } from '../../codes.ts'
import { boundedInterval } from './bounds.ts'
import { foundBy, hot, isEarlier, stateIs } from './hot.ts'

const { succeed, error, fail, snooze, park, releaseBegun, releaseUnbegun, cancel, completed } = settleCode
const { scheduled, ready, running, succeeded, failed, cancelled } = stateCode

/** The state after an outcome, and after a request to cancel: from then only a success still counts. */
const becomes = `
  case
    when s.kind = ${succeed} then ${succeeded}
    when l.cancel is not null or s.kind = ${cancel} then ${cancelled}
    when s.kind in (${error}, ${completed}) then case when s.delay is null then ${failed} else ${scheduled} end
    when s.kind = ${fail} then ${failed}
    when s.kind in (${snooze}, ${park}) then ${scheduled}
    -- A begun run that nobody can vouch for must not start again.
    when s.kind = ${releaseBegun} and l.fails_on_crash then ${failed}
    else ${ready}
  end`

const json = (...members: string[]): string =>
  `nullif('{' || concat_ws(',', ${members.join(', ')}) || '}', '{}')`

/**
 * Settling never waits: rows that somebody has locked are answered as such, and asked again by themselves. The answer is
 * text, a line per fact with tabs between: `settled id event state run_at queue lane`, `next id its-successor lane queue`,
 * `pending id`, `already …`, `claim-lost …`, `locked id`.
 */
export const settle = (s: string): string => `
create function ${s}.settle(
  p_ids text, p_runs text, p_kinds text, p_delays text, p_codecs text, p_bodies text, p_durations text, p_extras text,
  p_worker text, p_lock_timeout text, p_inside boolean default false
) returns text language plpgsql ${hot} as $$
declare
  v_now timestamptz := ${s}.clock();
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
begin
  if p_lock_timeout is not null then
    perform set_config('lock_timeout', p_lock_timeout, true);
    perform 1 from (select from ${s}.live l where l.id = any (v_ids) order by l.id for update) locked;
    perform 1 from (select from ${s}.jobs j where j.id = any (v_ids) order by j.id for update) locked;
  end if;

  with c as materialized (
    select f.*,
           case when f.becomes = ${scheduled} then v_now + ${boundedInterval('f.delay')} end as run_at,
           -- errored, and at once followed by its end
           f.kind in (${error}, ${completed}) and f.becomes <> ${scheduled} as two,
           f.attempts - (f.kind in (${snooze}, ${park}, ${releaseBegun}, ${releaseUnbegun})
                         and f.becomes in (${scheduled}, ${ready}))::integer as attempt,
           f.becomes in (${scheduled}, ${ready})
             or (f.becomes = ${failed} and f.key is not null and not f.skips_on_failure) as stays
      from (
        select l.id, l.key, l.queue, l.lane, l.name, l.tags, l.run, l.version, l.attempt as attempts, l.unique_mode,
               l.skips_on_failure, l.cancel, s.kind, s.delay, s.codec, s.body, s.duration, s.extra,
               ${becomes} as becomes
          from unnest(v_ids, v_runs, v_kinds, p_delays::bigint[], p_codecs::text[], p_bodies::text[],
                      p_durations::text[], p_extras::text[])
            as s (id, run, kind, delay, codec, body, duration, extra)
         cross join lateral (
           select * from ${s}.live l
            where l.id = s.id and l.run = s.run and ${stateIs('l', running)} and l.worker = p_worker
              and (p_inside or ${isEarlier('l')})
              for update skip locked) l) f),
  gone as (
    delete from ${s}.live l using c where ${foundBy('l.id', 'c.id')} and not c.stays),
  kept as (
    update ${s}.live l
       set state = c.becomes, run_at = c.run_at, attempt = c.attempt, version = c.version + 1 + c.two::integer, streak = 0,
           publish_after = case when c.becomes = ${ready} then v_now end, publishes = 0,
           parked_since = case when c.kind = ${park} then coalesce(l.parked_since, v_now) end,
           worker = null, request = null, deadline = null
      from c where ${foundBy('l.id', 'c.id')} and c.stays),
  noted as (
    insert into ${s}.job_events (
      job_id, version, type, state, name, queue, tags, run, attempt, worker, run_at, data, codec, body)
    select c.id, c.version + 1,
           case when c.kind in (${error}, ${completed}) then ${eventCode.errored}
                when c.becomes = ${succeeded} then ${eventCode.succeeded}
                when c.becomes = ${failed} then ${eventCode.failed}
                when c.becomes = ${cancelled} then ${eventCode.cancelled}
                when c.becomes = ${ready} then ${eventCode.released}
                else ${eventCode.snoozed} end,
           case when c.two then ${running} else c.becomes end,
           c.name, c.queue, c.tags, c.run, c.attempt, p_worker, c.run_at,
           ${json(
             'c.duration',
             `case when c.two or c.cancel is null
                  then case when c.kind = ${releaseBegun} and c.becomes = ${failed} then '"cause":"lost"' else c.extra end
                  when c.becomes = ${cancelled} then c.cancel end`,
           )},
           case when c.two or c.becomes not in (${cancelled}, ${ready}) then c.codec end,
           case when c.two or c.becomes not in (${cancelled}, ${ready}) then c.body end
      from c
    union all
    select c.id, c.version + 2, case when c.becomes = ${failed} then ${eventCode.failed} else ${eventCode.cancelled} end,
           c.becomes, c.name, c.queue, c.tags, c.run, c.attempt, p_worker, null,
           ${json(`case when c.becomes = ${failed} then c.extra else c.cancel end`)},
           case when c.becomes = ${failed} then c.codec end, case when c.becomes = ${failed} then c.body end
      from c where c.two)
  select array_agg(c.id),
         string_agg(concat_ws(E'\\t', 'settled', c.id,
           case when c.becomes = ${succeeded} then ${eventCode.succeeded}
                when c.becomes = ${failed} then ${eventCode.failed}
                when c.becomes = ${cancelled} then ${eventCode.cancelled}
                when c.becomes = ${ready} then ${eventCode.released}
                when c.kind in (${snooze}, ${park}) then ${eventCode.snoozed}
                else ${eventCode.errored} end,
           c.becomes, coalesce(${s}.ms(c.run_at)::text, ''), c.queue, c.lane), E'\\n'),
         array_agg(c.queue) filter (where c.key is not null and not c.stays),
         array_agg(c.key) filter (where c.key is not null and not c.stays),
         array_agg(c.id) filter (where c.key is not null and not c.stays),
         array_agg(c.id) filter (where c.unique_mode <> ${uniqueCode.none} and c.becomes = ${succeeded}),
         array_agg(c.id) filter (where c.unique_mode <> ${uniqueCode.none} and c.becomes in (${failed}, ${cancelled}))
    into v_settled, v_answer, v_queues, v_keys, v_holders, v_kept, v_freed
    from c;

  if v_kept is not null then perform ${s}.free_unique(v_kept, true); end if;
  if v_freed is not null then perform ${s}.free_unique(v_freed, false); end if;
  if v_keys is not null then
    v_answer := concat_ws(E'\\n', v_answer, (
      select string_agg(case when p.pending then concat_ws(E'\\t', 'pending', t.id)
                             else concat_ws(E'\\t', 'next', t.id, p.id, p.lane, p.queue) end, E'\\n')
        from ${s}.pass_keys(v_queues, v_keys, v_now) p
        join unnest(v_queues, v_keys, v_holders) as t (queue, key, id) on t.queue = p.queue and t.key = p.key));
  end if;

  if coalesce(cardinality(v_settled), 0) < cardinality(v_ids) then
    for v_i in 1 .. cardinality(v_ids) loop
      if v_settled is null or not v_ids[v_i] = any (v_settled) then
        v_answer := concat_ws(E'\\n', v_answer, ${s}.refuse(v_ids[v_i], v_runs[v_i], v_kinds[v_i], p_worker));
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
create function ${s}.refuse(p_id uuid, p_run integer, p_kind smallint, p_worker text) returns text
language plpgsql ${hot} as $$
declare
  v_live ${s}.live;
  v_job ${s}.jobs;
  v_last record;
  v_found record;
  v_next text;
begin
  select l.* into v_live from ${s}.live l where l.id = p_id for update skip locked;
  if not found then
    if exists (select from ${s}.live l where l.id = p_id) then return concat_ws(E'\\t', 'locked', p_id); end if;
    -- Final: its events are written under the lock of its job's row.
    select j.* into v_job from ${s}.jobs j where j.id = p_id for update skip locked;
    if not found then
      if exists (select from ${s}.jobs j where j.id = p_id) then return concat_ws(E'\\t', 'locked', p_id); end if;
      return concat_ws(E'\\t', 'unknown', p_id);
    end if;
    -- Replayed since the first look.
    if exists (select from ${s}.live l where l.id = p_id) then return concat_ws(E'\\t', 'locked', p_id); end if;
  elsif v_live.state = ${running} and v_live.run = p_run and v_live.worker = p_worker then
    return concat_ws(E'\\t', 'locked', p_id);
  end if;

  select e.type, e.state, ${s}.ms(e.run_at) as run_at into v_found
    from ${s}.job_events e
   where e.job_id = p_id and e.run = p_run and e.worker = p_worker
     and e.type in (${eventCode.succeeded}, ${eventCode.errored}, ${eventCode.snoozed}, ${eventCode.released},
                    ${eventCode.failed}, ${eventCode.cancelled})
   order by e.version desc limit 1;
  if found then
    if p_kind = ${completed} and v_found.type = ${eventCode.succeeded} then
      -- The completion passed the key on inside its transaction: its tickets follow now.
      select string_agg(concat_ws(E'\\t', 'next', p_id, l.id, l.lane, l.queue), '') into v_next
        from ${s}.jobs j
        join ${s}.keys k on ${foundBy('k.queue', 'j.queue')} and k.key = j.key
        join ${s}.live l on ${foundBy('l.id', 'k.holder')}
       where j.id = p_id and l.state = ${ready} and l.id <> p_id;
      if v_next is null and exists (
        select from ${s}.jobs j join ${s}.key_notes n on n.queue = j.queue and n.key = j.key where j.id = p_id)
      then
        v_next := concat_ws(E'\\t', 'pending', p_id);
      end if;
      return concat_ws(E'\\n', concat_ws(E'\\t', 'settled', p_id, v_found.type, v_found.state, '', '', ''), v_next);
    end if;
    return concat_ws(E'\\t', 'already', p_id, v_found.type, v_found.state, coalesce(v_found.run_at::text, ''));
  end if;

  if v_live.id is null then
    select e.version, e.state, e.name, e.queue, e.tags, e.run, e.attempt, e.tx > pg_current_xact_id() as is_late into v_last
      from ${s}.job_events e where e.job_id = p_id order by e.version desc limit 1;
    -- Its history has been dropped.
    if not found then return concat_ws(E'\\t', 'unknown', p_id); end if;
  else
    select v_live.version as version, v_live.state as state, v_live.name as name, v_live.queue as queue,
           v_live.tags as tags, v_live.run as run, v_live.attempt as attempt,
           (select not ${isEarlier('l')} from ${s}.live l where l.id = p_id) as is_late
      into v_last;
  end if;
  if v_last.is_late then return concat_ws(E'\\t', 'locked', p_id); end if;
  if not exists (
    select from ${s}.job_events e
     where e.job_id = p_id and e.type = ${eventCode.fenced} and e.data = format('{"fencedRun":%s}', p_run))
  then
    insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, worker, data)
    values (p_id, v_last.version + 1, ${eventCode.fenced}, v_last.state, v_last.name, v_last.queue, v_last.tags,
            v_last.run, v_last.attempt, p_worker, format('{"fencedRun":%s}', p_run));
    update ${s}.live l set version = v_last.version + 1 where l.id = p_id;
  end if;
  return concat_ws(E'\\t', 'claim-lost', p_id, ${eventCode.fenced}, v_last.state);
end $$;

/*
 * Succeeds a run inside the caller's transaction. Without the fence the transaction itself fails: it cannot commit.
 * That transaction may have had its number long before the job's last event was written, and events are read in the order
 * of those numbers: then this one gets the number of a subtransaction, which comes later than all that there were.
 */
create function ${s}.complete(p_id text, p_run text, p_codec text, p_body text, p_worker text) returns text
language plpgsql ${hot} as $$
declare
  v_answer text;
  v_version integer;
  v_is_late boolean;
  v_tx bigint;
begin
  perform 1 from (select from ${s}.live l where l.id = p_id::uuid for update) locked;
  select l.version, not ${isEarlier('l')} into v_version, v_is_late from ${s}.live l where l.id = p_id::uuid;
  if v_is_late then
    begin
      update ${s}.live l set version = l.version where l.id = p_id::uuid returning xmin::text::bigint into v_tx;
    exception when others then raise;
    end;
    -- Numbers have 64 bits, and rows the lower half of them.
    v_tx := v_tx + ((pg_current_xact_id()::text::bigint >> 32) << 32);
    if v_tx < pg_current_xact_id()::text::bigint then v_tx := v_tx + (1::bigint << 32); end if;
  end if;
  v_answer := ${s}.settle('{' || p_id || '}', '{' || p_run || '}', '{${succeed}}', null,
                          array[p_codec]::text, array[p_body]::text, null, null, p_worker, null, true);
  if v_answer not like 'settled%' then
    raise exception 'errand: the claim on job % is lost', p_id using errcode = 'ERR02';
  end if;
  if v_tx is not null then
    update ${s}.job_events e set tx = v_tx::text::xid8
     where e.job_id = p_id::uuid and e.version > v_version and e.tx = pg_current_xact_id();
  end if;
  return v_answer;
end $$;
`
