-- Unique keys: (job name, key) → the job that holds it. `free_at` null: until its holder frees it.

/*
 * Takes unique keys for these jobs and answers who holds each: the job itself, or the one that it duplicates. Waits only
 * for a dispatch that is under way. A later statement reads the holder: the insert still has the snapshot from before its
 * wait, and would answer a duplicate without an id. If the holder has gone by then, it starts over.
 */
create function errand.take_unique(p_names text[], p_keys text[], p_ids uuid[]) returns uuid[] language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_holders uuid[];
begin
  loop
    insert into errand.unique_keys (name, key, job_id)
    select t.name, t.key, t.id from unnest(p_names, p_keys, p_ids) with ordinality as t (name, key, id, ord)
     order by t.name, t.key, t.ord
    on conflict (name, key) do nothing;

    with free as materialized (
      select u.name, u.key
        from (select distinct t.name, t.key from unnest(p_names, p_keys) as t (name, key)) d
        join errand.unique_keys u on u.name = any (array[d.name]) and u.key = d.key
       -- The index on keys must find it. `coalesce` prevents the use of the index on free keys.
       where coalesce(u.free_at, 'infinity') <= errand.clock()
       order by d.name, d.key
         for update of u)
    update errand.unique_keys u set job_id = first.id, free_at = null
      from (select distinct on (t.name, t.key) t.name, t.key, t.id
              from unnest(p_names, p_keys, p_ids) with ordinality as t (name, key, id, ord)
              join free on free.name = t.name and free.key = t.key
             order by t.name, t.key, t.ord) first
     where u.name = any (array[first.name]) and u.key = first.key;

    select array_agg(u.job_id order by t.ord) into v_holders
      from unnest(p_names, p_keys) with ordinality as t (name, key, ord)
      left join errand.unique_keys u on u.name = any (array[t.name]) and u.key = t.key
       and (u.free_at is null or u.free_at > errand.clock());
    exit when array_position(v_holders, null) is null;
  end loop;
  return v_holders;
end $$;

/*
 * Frees the keys that these jobs hold. With p_keep, a key with a minimum time stays held until that time is over. Skips a
 * key that was freed already: a dispatcher that takes it may have locked its row, and settling never waits for that.
 */
create function errand.free_unique(p_ids uuid[], p_keep boolean) returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  with held as materialized (
    select u.name, u.key,
           case when p_keep
                then j.dispatched_at
                     + case when j.unique_for_ms is not null then least(greatest(j.unique_for_ms, 0), 3153600000000) end
                       * interval '1 millisecond' end as until
      from errand.known j
      join errand.unique_keys u on u.name = any (array[j.name]) and u.key = j.unique_key and u.job_id = j.id
     where j.id = any (p_ids)
       and (u.free_at is null or (not p_keep and u.free_at > errand.clock()))
     order by j.name, j.unique_key
       for update of u),
  gone as (
    delete from errand.unique_keys u using held
     where u.name = any (array[held.name]) and u.key = held.key
       and (held.until is null or held.until <= errand.clock()))
  update errand.unique_keys u set free_at = held.until from held
   where u.name = any (array[held.name]) and u.key = held.key and held.until > errand.clock();
end $$;
