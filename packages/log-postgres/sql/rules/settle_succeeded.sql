-- Settles runs that have succeeded, of jobs that hold no key: most of all. A row is deleted where it is found, without
-- being locked first, so that it is written once. `settle` never waits for a row; this one does, as long as a row may be
-- locked by somebody who only looks at it, and then leaves the batch to `settle`. Answers null when all were settled, else
-- the ids of those that were: the others are for `settle` to judge.

create function errand.settle_succeeded(
  p_ids text, p_runs text, p_codecs text, p_bodies text, p_data text, p_worker text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off set jit to off
set lock_timeout to '50ms' as $$
declare
  v_ids uuid[] := p_ids::uuid[];
  v_settled uuid[];
begin
  with gone as (
    -- In the order of the ids, as everybody who locks many rows.
    delete from errand.live l
     using (select * from unnest(v_ids, p_runs::integer[], p_codecs::text[], p_bodies::text[], p_data::text[])
                     as u (id, run, codec, body, data)
             order by u.id) r
     where l.id = any (array[r.id]) and l.run = r.run and l.state + 0 = 4 /* running */ and l.worker = p_worker
       and l.key is null and l.unique_mode = 0 /* not unique */ and age(l.xmin) >= 0
    returning l.id, l.version, l.name, l.queue, l.tags, l.run, l.attempt, r.codec, r.body, r.data),
  noted as (
    insert into errand.job_events (
      job_id, version, type, state, name, queue, tags, run, attempt, worker, data, codec, body)
    select g.id, g.version + 1, 6 /* succeeded event */, 5 /* succeeded */, g.name, g.queue, g.tags, g.run, g.attempt,
           p_worker, '{' || g.data || '}', g.codec, g.body
      from gone g)
  select array_agg(g.id) into v_settled from gone g;

  if cardinality(v_settled) = cardinality(v_ids) then return null; end if;
  return coalesce(array_to_string(v_settled, ','), '');
end $$;
