-- What operators do to jobs. They may wait for a row, so they lock in the one order: key rows, then job rows by id.

-- Locks these jobs, whatever row they have. Leaves them to a later transaction where one has written such a row.
create function errand.lock_jobs(p_ids uuid[]) returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  perform 1 from (select from errand.live l where l.id = any (p_ids) order by l.id for update) locked;
  perform 1 from (select from errand.ended x where x.id = any (p_ids) order by x.id for update) locked;
  if exists (select from errand.live l where l.id = any (p_ids) and not age(l.xmin) >= 0)
     or exists (select from errand.ended x where x.id = any (p_ids) and not age(x.xmin) >= 0) then
    raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
  end if;
end $$;

/*
 * Starts final jobs again. Rows of kind `replayed`, `ticket`, `duplicate`, `next` (a ticket of another job), and `unmet`: something that
 * it needs has ended otherwise, and is not among these jobs.
 */
create function errand.replay(p_ids uuid[], p_data text, p_forgets boolean, p_lock_timeout text)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
begin
  perform set_config('lock_timeout', p_lock_timeout, true);
  return query select * from errand.replay_jobs(p_ids, p_data, '{}', p_forgets);
end $$;

-- Of these final jobs, those that may start again: what they need has ended as it must, or starts again with them.
create function errand.replayable(p_ids uuid[]) returns uuid[] language plpgsql as $$
declare
  v_ids uuid[] := p_ids;
  v_fit uuid[];
begin
  loop
    v_fit := array(
      select u.id from unnest(v_ids) as u (id)
       where not exists (
         select from errand.needs n
          where n.child = any (array[u.id]) and n.done is not null and not errand.is_met(n.mode, n.done)
            and not n.parent = any (v_ids)));
    if cardinality(v_fit) = cardinality(v_ids) then return v_fit; end if;
    v_ids := v_fit;
  end loop;
end $$;

-- p_recounted: flows whose counts are taken anew by the caller. Other flows that run take the ends of these jobs out of their counts.
create function errand.replay_jobs(p_ids uuid[], p_data text, p_recounted uuid[], p_forgets boolean default false)
returns table (kind text, id uuid, queue text, lane smallint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[];
  v_fit uuid[];
  v_names text[];
  v_unique_keys text[];
  v_unique_ids uuid[];
  v_holders uuid[];
  v_mine uuid[];
  v_unmet uuid[] := '{}';
  v_lims text[];
  v_lim_keys text[];
begin
  v_ids := array(
    select x.id from errand.ended x where x.id = any (p_ids)
    union all
    select l.id from errand.live l where l.id = any (p_ids) and l.state = 6 /* failed */);

  v_fit := errand.replayable(v_ids);
  select array_agg(j.name), array_agg(j.unique_key), array_agg(j.id) into v_names, v_unique_keys, v_unique_ids
    from errand.known j where j.id = any (v_fit) and j.unique_key is not null;
  if v_unique_ids is not null then
    v_holders := errand.take_unique(v_names, v_unique_keys, v_unique_ids);
    -- If a job's own key is still kept after its end, the job holds it again until its new end.
    update errand.unique_keys u set free_at = null from errand.known j
     where j.id = any (v_unique_ids) and u.name = any (array[j.name]) and u.key = j.unique_key
       and u.job_id = j.id and u.free_at is not null;
    return query
      select 'duplicate', t.id, null::text, null::smallint
        from unnest(v_unique_ids, v_holders) as t (id, holder) where t.id <> t.holder;
    v_ids := array(
      select t.id from unnest(v_ids) as t (id)
       where not exists (
         select from unnest(v_unique_ids, v_holders) as h (id, holder) where h.id = t.id and h.holder <> t.id));
  end if;
  v_fit := errand.replayable(v_ids);
  if cardinality(v_fit) < cardinality(v_ids) then
    return query select 'unmet', u.id, null::text, null::smallint from unnest(v_ids) as u (id) where not u.id = any (v_fit);
    -- One that needs a duplicate has taken its own key.
    perform errand.free_unique(array(select u.id from unnest(v_ids) as u (id) where not u.id = any (v_fit) and u.id = any (v_unique_ids)), false);
    v_ids := v_fit;
  end if;
  if v_ids = '{}' then return; end if;

  with wanted as (
    select distinct on (j.queue, j.key) j.queue, j.key, j.id
      from errand.known j where j.id = any (v_ids) and j.key is not null
     order by j.queue, j.key, j.seq),
  locked as (
    insert into errand.keys as k (queue, key, holder)
    select w.queue, w.key, w.id from wanted w order by w.queue, w.key
    on conflict (queue, key) do update set holder = k.holder
    returning k.holder)
  select array_agg(locked.holder) into v_mine from locked;
  if v_mine is not null then v_mine := errand.take_over_keys(v_ids, v_mine); end if;
  perform errand.lock_jobs(v_ids);

  -- What starts again with them has not ended.
  update errand.needs n set done = null, codec = null, body = null
   where n.child = any (v_ids) and n.parent = any (v_ids);
  v_unmet := errand.unmet(v_ids);
  perform errand.uncount(v_ids, p_recounted);

  return query
    with final as materialized (
      select j.id, j.seq, j.timeout_ms, j.lane, j.unique_mode, j.fails_on_crash, j.skips_on_failure,
             j.queue, j.name, j.tags, j.key, j.share, j.lim, j.lim_key, j.flow, j.may_fail,
             nullif(exists (select from errand.needs n where n.child = any (array[j.id])), false) as has_needs,
             nullif(exists (select from errand.needs n where n.parent = any (array[j.id]) and n.done is null), false) as needed,
             coalesce(l.version, x.version) + 1 as version,
             coalesce(l.run, x.run, 1) as run,
             coalesce(l.last, x.last) as before, nextval('errand.events_seq') as link,
             j.replays + (p_forgets or coalesce(l.state, x.state) = 5 /* succeeded */)::integer as replays,
             p_forgets or coalesce(l.state, x.state) = 5 /* succeeded */ as forgets,
             case when (j.key is null or j.id = any (v_mine)) and j.lim is null and not j.id = any (v_unmet) then 3 /* ready */
                  else 2 /* blocked */ end::smallint as becomes,
             case when (j.key is null or j.id = any (v_mine)) and j.lim is not null and not j.id = any (v_unmet) then true end as at_limit
        from errand.known j
        left join errand.live l on l.id = any (array[j.id])
        left join errand.ended x on x.id = any (array[j.id])
       where j.id = any (v_ids) and (l.state = 6 /* failed */ or (l.id is null and x.id is not null))),
    counted as (
      update errand.jobs j set replays = f.replays,
             events_since = least(j.events_since, nullif(least(v_now, j.dispatched_at), j.dispatched_at))
        from final f
       where j.seq = any (array[f.seq]) and (j.replays <> f.replays or v_now < j.dispatched_at)),
    -- After a success, or if it is asked for, it is a new life. Else it goes on where it failed.
    forgotten as (delete from errand.steps s using final f where s.job_id = any (array[f.id]) and f.forgets),
    -- If a call that failed is the last thing that it remembers, that is why it ended: it waits for that call again.
    asked as (
      update errand.steps s set done_at = null, ended_by = null, codec = null, body = null, size = 0
        from final f
        join errand.needs n on n.child = any (array[f.id]) and n.mode = 4 /* called need */ and n.done in (6 /* failed */, 7 /* cancelled */)
       where s.job_id = any (array[f.id]) and s.name = n.name and s.done_at is not null and not f.forgets
         and not exists (
           select from errand.steps d where d.job_id = any (array[f.id]) and d.done_at is not null and d.ord > s.ord)),
    forgotten_too as (delete from errand.messages m using final f where m.job_id = any (array[f.id]) and f.forgets),
    begun as (delete from errand.ended x using final f where x.id = any (array[f.id])),
    put as (
      insert into errand.live as l (
        id, seq, publish_after, timeout_ms, run, version, lane, state, held, last, unique_mode, fails_on_crash,
        skips_on_failure, queue, name, tags, key, share, turn, lim, lim_key, at_limit, has_needs, needed, flow, may_fail)
      select f.id, f.seq, case when f.becomes = 3 /* ready */ then v_now end, f.timeout_ms, f.run, f.version, f.lane,
             f.becomes, nullif(f.becomes, 3 /* ready */), f.link, f.unique_mode, f.fails_on_crash, f.skips_on_failure, f.queue, f.name, f.tags, f.key, f.share,
             case when f.becomes = 3 /* ready */ and f.share is not null then errand.turn_of(f.queue, f.lane, f.share, null) end,
             f.lim, f.lim_key, f.at_limit, f.has_needs, f.needed, f.flow, f.may_fail
        from final f order by f.seq
      on conflict (id) do update
         set publish_after = excluded.publish_after, version = excluded.version, last = excluded.last,
             state = excluded.state, held = excluded.held, turn = excluded.turn, needed = excluded.needed,
             at_limit = excluded.at_limit, attempt = 0, crashes = null, streak = null, publishes = 0, parked_since = null, cancel = null),
    noted as (
      insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, data)
      select f.link, f.link, array[f.id], array[f.before], f.version, 17 /* replayed event */, f.becomes, f.name, f.queue, f.tags, f.run, 0, p_data
        from final f order by f.seq)
    select case when f.becomes = 3 /* ready */ then 'ticket' else 'replayed' end, f.id, f.queue, f.lane from final f;
  select array_agg(l.lim), array_agg(l.lim_key) into v_lims, v_lim_keys
    from errand.live l where l.id = any (v_ids) and coalesce(l.at_limit, false);
  if v_lims is not null then
    return query
      select 'next', a.id, a.queue, a.lane from errand.admit(v_lims, v_lim_keys, v_now) a where not a.pending;
  end if;
end $$;

/*
 * A job that starts again goes before a newer holder of its key that waits for what it needs: no job may wait for a newer one, or two
 * could wait for each other. The caller has locked the keys, and names their holders. Answers the holders after it. The row of a
 * holder is locked, and what it needs is read in a later statement; one that somebody else has locked keeps its key.
 */
create function errand.take_over_keys(p_ids uuid[], p_holders uuid[]) returns uuid[] language plpgsql as $$
declare
  v_waiting uuid[];
  v_taken uuid[];
begin
  v_waiting := array(
    select l.id from errand.live l
     where l.id = any (p_holders) and not l.id = any (p_ids) and l.has_needs and l.state in (1 /* scheduled */, 2 /* blocked */)
       and age(l.xmin) >= 0
     order by l.id for update skip locked);
  if v_waiting = '{}' then return p_holders; end if;
  v_waiting := errand.unmet(v_waiting);
  with older as (
    select distinct on (l.id) l.id as holder, l.queue, l.key, j.id
      from unnest(v_waiting) as u (id)
      join errand.live l on l.id = any (array[u.id])
      join errand.known j on j.id = any (p_ids) and j.queue = l.queue and j.key = l.key and j.seq < l.seq
     order by l.id, j.seq),
  moved as (
    update errand.keys k set holder = o.id from older o
     where k.queue = any (array[o.queue]) and k.key = o.key and k.holder = o.holder
    returning o.holder, o.id),
  released as (
    update errand.live l set at_limit = null from moved m where l.id = any (array[m.holder]) and l.at_limit)
  select array_agg(m.id) into v_taken from moved m;
  return p_holders || v_taken;
end $$;

-- How jobs ended that are members, and whether their flows forgive it.
create function errand.member_ends(p_ids uuid[]) returns table (id uuid, flow uuid, state smallint, forgiven boolean)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
    select m.id, m.flow, m.state,
           m.state <> 5 /* succeeded */
             and (coalesce(m.may_fail, false)
                  or (m.state = 7 /* cancelled */
                      and (exists (select from errand.flows f where f.id = any (array[m.flow]) and f.cancel is not null)
                           or exists (
                             select from (
                               select e.data::json as data from errand.events_of(array[m.id], null) e
                                where e.type = 14 /* cancelled event */ order by e.version desc limit 1) e
                              cross join lateral (select (e.data -> 'needs' ->> 0)::uuid as need where e.data ->> 'cause' = 'need') n
                              where exists (select from errand.known j where j.id = any (array[n.need]) and j.flow = m.flow)
                                 or exists (select from errand.flows i where i.id = any (array[n.need]) and i.flow = m.flow)))))
      from (select j.id, j.flow, j.may_fail,
                   (case when l.state = 6 /* failed */ then l.state when l.id is null then x.state end)::smallint as state
              from errand.known j
              left join errand.live l on l.id = any (array[j.id])
              left join errand.ended x on x.id = any (array[j.id])
             where j.id = any (p_ids) and j.flow is not null) m
     where m.state is not null;
end $$;

-- Takes the ends of these jobs out of the counts of their flows that run: they will end again. Operators wait for the flows.
create function errand.uncount(p_ids uuid[], p_except uuid[]) returns void language plpgsql as $$
declare
  v_flows uuid[] := array(
    select distinct j.flow from errand.known j
     where j.id = any (p_ids) and j.flow is not null and not j.flow = any (p_except));
begin
  if v_flows = '{}' then return; end if;
  perform errand.lock_flows(v_flows);
  update errand.flows f
     set succeeded = f.succeeded - e.succeeded, failed = f.failed - e.failed, cancelled = f.cancelled - e.cancelled,
         forgiven = f.forgiven - e.forgiven
    from (select m.flow, count(*) filter (where m.state = 5 /* succeeded */) as succeeded,
                 count(*) filter (where m.state = 6 /* failed */) as failed,
                 count(*) filter (where m.state = 7 /* cancelled */) as cancelled,
                 count(*) filter (where m.forgiven) as forgiven
            from errand.member_ends(p_ids) m group by m.flow) e
   where f.id = any (array[e.flow]) and f.id = any (v_flows) and f.state = 4 /* running */;
end $$;

create function errand.lock_flows(p_ids uuid[]) returns void language plpgsql as $$
begin
  perform 1 from (select from errand.flows f where f.id = any (p_ids) order by f.id for update) locked;
  if exists (select from errand.flows f where f.id = any (p_ids) and not age(f.xmin) >= 0) then
    raise exception 'errand: a flow was changed by a later transaction' using errcode = '40001';
  end if;
end $$;
