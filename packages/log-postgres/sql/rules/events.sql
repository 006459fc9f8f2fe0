-- The history of jobs. A rule writes each event in the statement that changes the job's row. From then on the row points to
-- it: `live.last` or `ended.last` is the link of the newest event, and each event has the links of the events before it.

/*
 * The link of a row that tells the event of several jobs. Their rows in `live` are changed before the number of groups is
 * known. So a link is made of one number for the statement, and of the values in which the groups differ. If two groups get
 * the same link, a reader searches both for the job.
 */
create function errand.link_of(p_number bigint, p_group integer) returns bigint language sql immutable
  return (p_number << 20) | (coalesce(p_group, 0) & 1048575);

-- The events of these jobs, along their links, from days that are kept and end after p_since (null: all).
create function errand.events_of(p_ids uuid[], p_since timestamptz) returns table (
  tx xid8, seq bigint, place integer, job_id uuid, at timestamptz, run_at timestamptz, version integer, run integer,
  attempt integer, type smallint, state smallint, name text, queue text, worker text, tags text[], data text, codec text,
  body text
) language plpgsql stable
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
begin
  return query
    with recursive told as (
      select null::xid8 as tx, null::bigint as seq, null::integer as place, u.id as job_id, null::timestamptz as at,
             null::timestamptz as run_at, null::integer as version, null::integer as run, null::integer as attempt,
             null::smallint as type, null::smallint as state, null::text as name, null::text as queue, null::text as worker,
             null::text[] as tags, null::text as data, null::text as codec, null::text as body,
             coalesce(l.last, x.last, f.last) as link
        from unnest(p_ids) as u (id)
        left join errand.live l on l.id = any (array[u.id])
        left join errand.ended x on x.id = any (array[u.id])
        left join lateral (
          select f.last from errand.flows f where l.id is null and x.id is null and f.id = any (array[u.id])) f on true
      union all
      select e.tx, e.seq, p.place, t.job_id, e.at, e.run_at, e.version, e.run, e.attempt, e.type, e.state, e.name, e.queue,
             e.worker, e.tags, coalesce('{"durationMs":' || e.durations_ms[least(p.place, cardinality(e.durations_ms))] || '}', e.data),
             e.codec, e.bodies[p.place], e.befores[least(p.place, cardinality(e.befores))]
        from told t
        join errand.events e
          on e.link = any (array[t.link]) and t.job_id = any (e.jobs) and e.at >= coalesce(p_since, '-infinity')
       cross join lateral (select array_position(e.jobs, t.job_id) as place) p)
    select t.tx, t.seq, t.place, t.job_id, t.at, t.run_at, t.version, t.run, t.attempt, t.type, t.state, t.name, t.queue,
           t.worker, t.tags, t.data, t.codec, t.body
      from told t where t.place is not null;
end $$;
