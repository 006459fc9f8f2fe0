import { eventCode, stateCode, uniqueCode } from '../../codes.ts'
import { foundBy, hot, isEarlier, stateIs } from './hot.ts'
import { publishGrace } from './sweep.ts'

const { scheduled, blocked, ready, running, failed, cancelled } = stateCode

/** The log writes this error itself, so it is plain JSON whatever codec the workers use. */
const lostError = (message: string): string =>
  `'${JSON.stringify({ name: 'LostError', message, code: 'E_LOST' })}'`

/** What a sweep does to jobs. Every time is measured against the sweep's own moment, by the database's clock. */
export const sweepMoves = (s: string): string => `
/*
 * Due jobs become ready, or blocked where another job holds their key: key rows are locked first, in their order, and
 * jobs whose key somebody else has locked wait for the next sweep. Rows of kind \`ticket\` and \`blocked\`.
 */
create function ${s}.sweep_due(p_limit integer, p_now timestamptz, p_ids uuid[] default null)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_queues text[];
  v_keys text[];
  v_holders uuid[];
begin
  select array_agg(d.id), array_agg(d.queue) filter (where d.key is not null),
         array_agg(d.key) filter (where d.key is not null)
    into v_ids, v_queues, v_keys
    from (select l.id, l.queue, l.key from ${s}.live l
           where l.state = ${scheduled} and l.run_at <= p_now and (p_ids is null or l.id = any (p_ids))
           order by l.run_at limit p_limit) d;
  if v_ids is null then return; end if;

  if v_keys is not null then
    -- A key without a holder goes to its first job.
    insert into ${s}.keys (queue, key, holder)
    select t.queue, t.key, first.id
      from (select distinct t.queue, t.key from unnest(v_queues, v_keys) as t (queue, key)) t
     cross join lateral (
       select l.id from ${s}.live l
        where l.queue = t.queue and l.key = t.key and l.state in (${scheduled}, ${blocked})
        order by l.seq limit 1) first
     where not exists (select from ${s}.keys k where ${foundBy('k.queue', 't.queue')} and k.key = t.key)
     order by t.queue, t.key
    on conflict do nothing;

    select array_agg(k.queue), array_agg(k.key), array_agg(k.holder) into v_queues, v_keys, v_holders
      from (select k.queue, k.key, k.holder
              from (select distinct t.queue, t.key from unnest(v_queues, v_keys) as t (queue, key)) d
              join ${s}.keys k on ${foundBy('k.queue', 'd.queue')} and k.key = d.key
             order by d.queue, d.key
               for update of k skip locked) k;
  end if;

  return query
    with due as materialized (
      select l.id, l.key is null or k.holder = l.id as mine
        from ${s}.live l
        left join unnest(v_queues, v_keys, v_holders) as k (queue, key, holder) on k.queue = l.queue and k.key = l.key
       where l.id = any (v_ids) and ${stateIs('l', scheduled)} and l.run_at <= p_now
         and (l.key is null or k.holder is not null) and ${isEarlier('l')}
       order by l.id
         for update of l skip locked),
    moved as (
      update ${s}.live l
         set state = case when due.mine then ${ready} else ${blocked} end, run_at = null, version = l.version + 1,
             publish_after = case when due.mine then p_now + ${publishGrace} end, publishes = 0
        from due where ${foundBy('l.id', 'due.id')}
      returning l.*),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt)
      select m.id, m.version, ${eventCode.due}, m.state, m.name, m.queue, m.tags, m.run, m.attempt
        from moved m order by m.seq)
    select case when m.state = ${ready} then 'ticket' else 'blocked' end, m.id, m.queue, m.lane from moved m order by m.seq;
end $$;

/*
 * Runs whose worker's lease, or whose own deadline, is out. Rows of kind \`ready\`, \`lost\` (lives on, or cancelled),
 * \`failed\` (\`note\`: run, attempt and error, with tabs between), and \`next\` for successors of keys.
 */
create function ${s}.sweep_lost(p_limit integer, p_now timestamptz, p_ids uuid[] default null)
returns table (kind text, id uuid, queue text, lane smallint, note text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_ended boolean;
  v_key text;
  v_unique_mode smallint;
  v_queues text[] := '{}';
  v_keys text[] := '{}';
  v_freed uuid[] := '{}';
begin
  -- The running jobs are no more than the fleet's slots, the workers fewer.
  v_ids := array(
    select l.id from ${s}.live l left join ${s}.workers w on w.id = l.worker
     where l.state = ${running} and (w.id is null or w.lease_until < p_now or l.deadline < p_now)
       and (p_ids is null or l.id = any (p_ids))
     limit p_limit);
  if v_ids = '{}' then return; end if;

  for kind, id, queue, lane, note, v_ended, v_key, v_unique_mode in
    with found as materialized (
      select l.id, l.key, l.queue, l.lane, l.name, l.tags, l.run, l.worker, l.cancel, l.unique_mode, l.version,
             l.attempt - 1 as attempt, l.crashes + 1 as crashes, l.streak + 1 as streak,
             case when l.deadline < p_now then ${lostError('the run passed its deadline')}
                  else ${lostError('the lease of its worker ran out')} end as why,
             case when l.cancel is not null then ${cancelled}
                  when l.fails_on_crash or l.crashes + 1 >= l.max_crashes then ${failed}
                  when l.streak = 0 then ${ready}
                  else ${scheduled} end as becomes,
             p_now + least(interval '1 second' * power(2, least(greatest(l.streak, 1) - 1, 10)), interval '1 minute') as run_at,
             l.key is not null and not l.skips_on_failure as blocks
        from ${s}.live l left join ${s}.workers w on w.id = l.worker
       where l.id = any (v_ids) and ${stateIs('l', running)} and ${isEarlier('l')}
         and (w.id is null or w.lease_until < p_now or l.deadline < p_now)
       order by l.id
         for update of l skip locked),
    c as materialized (
      select f.*, f.becomes in (${failed}, ${cancelled}) as two,
             f.becomes in (${ready}, ${scheduled}) or (f.becomes = ${failed} and f.blocks) as stays
        from found f),
    gone as (delete from ${s}.live l using c where ${foundBy('l.id', 'c.id')} and not c.stays),
    kept as (
      update ${s}.live l
         set state = c.becomes, attempt = c.attempt, crashes = c.crashes, streak = c.streak,
             version = c.version + 1 + c.two::integer, parked_since = null, worker = null, request = null, deadline = null,
             run_at = case when c.becomes = ${scheduled} then c.run_at end,
             publish_after = case when c.becomes = ${ready} then p_now + ${publishGrace} end, publishes = 0
        from c where ${foundBy('l.id', 'c.id')} and c.stays),
    noted as (
      insert into ${s}.job_events (
        job_id, version, type, state, name, queue, tags, run, attempt, worker, run_at, data, codec, body)
      select c.id, c.version + 1, ${eventCode.lost}, case when c.two then ${running} else c.becomes end, c.name, c.queue,
             c.tags, c.run, c.attempt, c.worker, case when c.becomes = ${scheduled} then c.run_at end, null, 'json', c.why
        from c
      union all
      -- Not by the worker: its own late settlement must not take this for an answer that was lost.
      select c.id, c.version + 2, case when c.becomes = ${failed} then ${eventCode.failed} else ${eventCode.cancelled} end,
             c.becomes, c.name, c.queue, c.tags, c.run, c.attempt, null, null,
             case when c.becomes = ${failed} then '{"cause":"lost"}' else '{' || c.cancel || '}' end,
             case when c.becomes = ${failed} then 'json' end, case when c.becomes = ${failed} then c.why end
        from c where c.two)
    select case c.becomes when ${failed} then 'failed' when ${ready} then 'ready' else 'lost' end,
           c.id, c.queue, c.lane, concat_ws(E'\\t', c.run, c.attempt, c.why), not c.stays, c.key, case when c.two then c.unique_mode else 0 end
      from c
  loop
    if v_ended and v_key is not null then
      v_queues := v_queues || queue;
      v_keys := v_keys || v_key;
    end if;
    if v_unique_mode <> ${uniqueCode.none} then v_freed := v_freed || id; end if;
    return next;
  end loop;

  if v_freed <> '{}' then perform ${s}.free_unique(v_freed, false); end if;
  if v_keys <> '{}' then
    return query select 'next', p.id, p.queue, p.lane, null::text
                   from ${s}.pass_keys(v_queues, v_keys, p_now + ${publishGrace}) p where not p.pending;
  end if;
end $$;
`
