import { eventCode } from '../../codes.ts'
import { foundBy, hot } from './hot.ts'

const ends = [eventCode.succeeded, eventCode.failed, eventCode.cancelled, eventCode.skipped].join(', ')

/** Retention: finished jobs go in small batches, their events by whole days (see partitions). */
export const prune = (s: string): string => `
/*
 * Deletes finished jobs whose end is older than their retention; p_types are those of their last event. It goes on where
 * the last call stopped, but looks again at the last day, for transactions that were open that long. A failed job that
 * still holds a key has a live row, and stays.
 */
create function ${s}.prune(p_types smallint[], p_before timestamptz, p_limit integer) returns integer
language plpgsql ${hot} set lock_timeout to '2s' as $$
declare
  v_type smallint;
  v_from timestamptz;
  v_until timestamptz;
  v_ids uuid[];
  v_names text[];
  v_keys text[];
  v_gone integer := 0;
begin
  foreach v_type in array p_types loop
    exit when v_gone >= p_limit;
    select coalesce(max(p.looked_until), '-infinity') into v_from from ${s}.prunes p where p.type = v_type;
    select array_agg(e.job_id), array_agg(e.name), array_agg(e.unique_key), max(e.at)
      into v_ids, v_names, v_keys, v_until
      from (select e.job_id, e.at, j.name, j.unique_key
              from ${s}.job_events e
              join ${s}.jobs j on ${foundBy('j.id', 'e.job_id')}
             where e.type = v_type and e.type in (${ends}) and e.at >= v_from and e.at < p_before
               and not exists (select from ${s}.live l where ${foundBy('l.id', 'e.job_id')})
               and not exists (
                 select from ${s}.job_events n
                  where ${foundBy('n.job_id', 'e.job_id')} and n.version > e.version
                    and n.type in (${ends}, ${eventCode.replayed}))
             order by e.at limit p_limit - v_gone
               for update of j) e;
    if v_ids is not null then
      delete from ${s}.jobs j where j.id = any (v_ids);
      delete from ${s}.progress p where p.job_id = any (v_ids);
      delete from ${s}.unique_keys u using unnest(v_names, v_keys, v_ids) as t (name, key, id)
       where ${foundBy('u.name', 't.name')} and u.key = t.key and u.job_id = t.id;
      v_gone := v_gone + cardinality(v_ids);
    end if;
    insert into ${s}.prunes as p (type, looked_until)
    values (v_type, least(case when v_gone >= p_limit then v_until else p_before end, ${s}.clock() - interval '1 day'))
    on conflict (type) do update set looked_until = greatest(p.looked_until, excluded.looked_until);
  end loop;
  delete from ${s}.unique_keys u where (u.name, u.key) in (
    select f.name, f.key from ${s}.unique_keys f where f.free_at <= ${s}.clock() limit p_limit for update skip locked);
  return v_gone;
end $$;
`
