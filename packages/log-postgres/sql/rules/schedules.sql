-- Schedules: rows that change by comparing and setting. What they mean is decided in the client.

/*
 * Writes the schedules that still have the revision that they had when they were read (0: there was none), and answers their
 * names. Without a body it removes them. The first revision is by chance: who knows a schedule that was removed must not take the
 * next one of its name for it. Every parameter but the last is the text of an array with a place for each.
 * p_lock_timeout: rows that somebody has locked are passed over, and an insert waits this long for another one of its name. Null in
 * a transaction of the application: there it waits for both, as long as the application's own setting says.
 */
create function errand.save_schedules(
  p_names text, p_afters text, p_dues text, p_jobs text, p_declared text, p_declarers text, p_bodies text, p_lock_timeout text
) returns setof text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_names text[] := p_names::text[];
  v_bodies text[] := p_bodies::text[];
  v_afters integer[] := p_afters::integer[];
  v_locked text[];
begin
  -- In one order, and read in a later statement than they are locked.
  if p_lock_timeout is null then
    v_locked := array(select s.name from errand.schedules s where s.name = any (v_names) order by s.name for update);
  else
    perform set_config('lock_timeout', p_lock_timeout, true);
    v_locked := array(
      select s.name from errand.schedules s where s.name = any (v_names) order by s.name for update skip locked
    );
  end if;
  return query
    delete from errand.schedules s using unnest(v_names, v_afters, v_bodies) as t (name, after, body)
     where s.name = any (v_locked) and s.name = t.name and s.revision = t.after and t.body is null
    returning s.name;
  return query
    update errand.schedules s
       set revision = s.revision + 1, due_at = to_timestamp(t.due / 1000.0), job = t.job, declared = t.declared,
           declared_by = t.declarer, body = t.body
      from unnest(v_names, v_afters, p_dues::bigint[], p_jobs::text[], p_declared::boolean[], p_declarers::text[], v_bodies)
        as t (name, after, due, job, declared, declarer, body)
     where s.name = any (v_locked) and s.name = t.name and s.revision = t.after and t.body is not null
    returning s.name;
  return query
    insert into errand.schedules as s (name, revision, due_at, job, declared, declared_by, body)
    select t.name, 1 + floor(random() * 1073741824)::integer, to_timestamp(t.due / 1000.0), t.job, t.declared, t.declarer, t.body
      from unnest(v_names, v_afters, p_dues::bigint[], p_jobs::text[], p_declared::boolean[], p_declarers::text[], v_bodies)
        as t (name, after, due, job, declared, declarer, body)
     where t.after = 0 and t.body is not null
     order by t.name
    on conflict do nothing
    returning s.name;
end $$;
