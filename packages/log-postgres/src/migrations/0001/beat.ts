import { eventCode, stateCode } from '../../codes.ts'
import { boundedInterval, boundedMs } from './bounds.ts'
import { againIf, hot, isEarlier, stateIs } from './hot.ts'

/** The heartbeat of a whole process: one row per worker. */
export const beat = (s: string): string => `
/*
 * Renews the lease, records progress, and answers what the worker must know: rows of kind \`claim\`, \`paused\`, \`stop\` and
 * \`transfer\` (\`run\`: its revision).
 * The value of a progress goes to a table of its own. Of the job's row only the counter of its events moves, in place:
 * no index knows that column, and a counter elsewhere would have to be read by everybody after the row's lock.
 */
create function ${s}.beat(
  p_id text, p_host text, p_pid integer, p_label text, p_lease_ms bigint, p_queues text[], p_taking boolean, p_why text,
  p_jobs uuid[], p_runs integer[], p_values double precision[], p_messages text[], p_data text[],
  p_drivers text[], p_given_up uuid[], p_given_up_runs integer[]
) returns table (kind text, name text, run integer, note text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_stop boolean;
  v_late boolean;
begin
  insert into ${s}.workers as w (
    id, host, pid, label, lease_ms, queues, taking, why, drivers, started_at, last_seen, lease_until)
  values (p_id, p_host, p_pid, p_label, ${boundedMs('p_lease_ms')}, p_queues, p_taking, p_why, p_drivers, v_now, v_now,
          v_now + ${boundedInterval('p_lease_ms')})
  on conflict (id) do update
     set queues = excluded.queues, taking = excluded.taking, why = excluded.why, drivers = excluded.drivers,
         lease_ms = excluded.lease_ms, last_seen = excluded.last_seen, lease_until = excluded.lease_until
  returning w.stop into v_stop;

  if p_jobs is not null then
    with fit as materialized (
      select l.id, l.name, l.queue, l.tags, l.run, l.attempt, l.version, l.is_late, t.value, t.message, t.data, t.ord
        from unnest(p_jobs, p_runs, p_values, p_messages, p_data) with ordinality
          as t (id, run, value, message, data, ord)
       cross join lateral (
         select *, not ${isEarlier('l')} as is_late from ${s}.live l
          where l.id = t.id and l.run = t.run and ${stateIs('l', stateCode.running)} and l.worker = p_id
            for update skip locked) l),
    counted as (
      select fit.*, row_number() over (partition by fit.id order by fit.ord) as nth,
             count(*) over (partition by fit.id) as many
        from fit),
    noted as (
      insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, worker, data)
      select c.id, c.version + c.nth, ${eventCode.progressed}, ${stateCode.running}, c.name, c.queue, c.tags, c.run,
             c.attempt, p_id, '{' || c.data || '}'
        from counted c order by c.ord),
    shown as (
      insert into ${s}.progress as p (job_id, value, message)
      select c.id, c.value, c.message from counted c where c.nth = c.many
      on conflict (job_id) do update set value = excluded.value, message = excluded.message),
    moved as (
      update ${s}.live l set version = l.version + c.many from counted c where l.id = c.id and c.nth = c.many)
    select bool_or(c.is_late) into v_late from counted c;${againIf('v_late').replaceAll('\n', '\n  ')}
  end if;

  -- No event: the sweep that calls them lost writes it.
  if p_given_up is not null then
    with given as materialized (
      select l.id from unnest(p_given_up, p_given_up_runs) as t (id, run)
       cross join lateral (
         select l.id from ${s}.live l
          where l.id = t.id and l.run = t.run and ${stateIs('l', stateCode.running)} and l.worker = p_id
            for update skip locked) l)
    update ${s}.live l set deadline = least(l.deadline, v_now) from given where l.id = given.id;
  end if;

  return query
    select 'claim', l.id::text, l.run, l.cancel from ${s}.live l
     where l.worker = p_id and l.state = ${stateCode.running};
  return query select 'paused', p.name, null::integer, null::text from ${s}.paused_queues p;
  return query
    select 'transfer', null::text, m.transfer_revision, m.transfer from ${s}.meta m where m.transfer_revision > 0;
  if v_stop then return query select 'stop', null::text, null::integer, null::text; end if;
end $$;
`
