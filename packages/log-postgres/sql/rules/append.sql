-- Appends jobs, in the order of the arrays. Every parameter is the text of an array, so that any client library can send
-- it; a column that no job uses is null. Answers per job: the code of its state, or `d`, or `d` and the id of the job
-- that it duplicates. p_inside is set in the caller's transaction: it must not lock the row of a limit, or of another job. A need has the
-- place of its job. Members have the places that they have in a flow of the same call, and none in one that was stored before.

create function errand.append(
  p_ids text, p_names text, p_payload_versions text, p_queues text, p_lanes text, p_codecs text, p_payloads text,
  p_tags text, p_metas text, p_keys text, p_skips text, p_unique_keys text, p_unique_modes text, p_unique_fors text, p_shares text,
  p_delays text, p_ats text, p_expires text, p_parents text, p_graces text, p_attempts text,
  p_crashes text, p_crash_fails text, p_timeouts text, p_data text, p_lims text, p_lim_keys text,
  p_flows text, p_places text, p_may_fails text, p_needed text, p_need_jobs text, p_need_ids text, p_need_modes text,
  p_need_names text, p_lock_timeout text, p_inside text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[] := p_ids::uuid[];
  v_names text[] := p_names::text[];
  v_queues text[] := p_queues::text[];
  v_lanes smallint[] := p_lanes::smallint[];
  v_tags text[] := p_tags::text[];
  v_keys text[] := p_keys::text[];
  v_skips boolean[] := p_skips::boolean[];
  v_unique_keys text[] := p_unique_keys::text[];
  v_shares text[] := p_shares::text[];
  v_unique_modes smallint[] := p_unique_modes::smallint[];
  v_crash_fails boolean[] := p_crash_fails::boolean[];
  v_timeouts bigint[] := p_timeouts::bigint[];
  v_count integer := cardinality(v_ids);
  v_states smallint[];
  v_due timestamptz[];
  v_seqs bigint[];
  v_turns bigint[];
  v_number bigint := nextval('errand.events_seq');
  v_holders uuid[];
  v_added uuid[];
  v_limits text[] := p_lims::text[];
  v_limit_keys text[] := p_lim_keys::text[];
  v_at_limit boolean[];
  v_admitted uuid[];
  v_flows uuid[] := p_flows::uuid[];
  v_need_jobs integer[] := p_need_jobs::integer[];
  v_children uuid[];
  v_unmet uuid[] := '{}';
  v_cancelled uuid[] := '{}';
begin
  if p_lock_timeout is not null then
    perform set_config('lock_timeout', p_lock_timeout, true);
  end if;

  -- The job that each one duplicates; null: it is new. Before any key is taken: a job that is stored already must take none.
  select array_agg((select k.id from errand.known k where k.id = any (array[t.id])) order by t.ord) into v_holders
    from unnest(v_ids) with ordinality as t (id, ord);
  if v_unique_keys is not null then
    v_holders := errand.mark_duplicates(v_holders, v_ids, v_names, v_unique_keys);
  end if;

  v_states := array_fill(3 /* ready */::smallint, array[v_count]);
  if v_need_jobs is not null then
    select array_agg(distinct t.id) into v_children
      from unnest(v_ids, v_holders) with ordinality as t (id, holder, ord) where t.holder is null and t.ord = any (v_need_jobs);
  end if;
  if v_children is not null then
    perform errand.link_needs(
      array_agg(v_ids[t.job] order by t.ord), array_agg(t.parent order by t.ord), array_agg(t.mode order by t.ord),
      array_agg(t.name order by t.ord),
      array(select u.id from unnest(v_ids, v_holders) as u (id, holder) where u.holder is null), p_inside is not null)
      from unnest(v_need_jobs, p_need_ids::uuid[], p_need_modes::smallint[], p_need_names::text[]) with ordinality
        as t (job, parent, mode, name, ord)
     where v_ids[t.job] = any (v_children);
    v_unmet := errand.unmet(v_children);
  end if;
  if v_keys is not null or p_delays is not null or p_ats is not null or v_limits is not null or v_unmet <> '{}' then
    if v_keys is not null then
      with wanted as (
        select distinct on (t.queue, t.key) t.queue, t.key, t.id
          from unnest(v_queues, v_keys, v_ids, v_holders) with ordinality as t (queue, key, id, holder, ord)
         where t.key is not null and t.holder is null
         order by t.queue, t.key, t.ord),
      locked as (
        insert into errand.keys as k (queue, key, holder)
        select wanted.queue, wanted.key, wanted.id from wanted order by wanted.queue, wanted.key
        on conflict (queue, key) do update set holder = k.holder
        returning k.queue, k.key, k.holder)
      select array_agg(locked.holder) into v_added from locked;
    end if;
    select array_agg(
             (case when t.due > v_now then 1 /* scheduled */
                   when (t.key is null or t.id = any (v_added)) and t.lim is null and not t.id = any (v_unmet) then 3 /* ready */
                   else 2 /* blocked */ end)::smallint order by t.ord),
           array_agg(t.due order by t.ord),
           array_agg(case when t.lim is not null and coalesce(t.due <= v_now, true) and (t.key is null or t.id = any (v_added))
                            and not t.id = any (v_unmet) then true end
                     order by t.ord)
      into v_states, v_due, v_at_limit
      from (select u.id, u.key, u.lim, u.ord,
                   case when u.at_ms is not null
                        then to_timestamp(case when u.at_ms not between -62135596800000 and 253402300799999
                                               then errand.out_of_bounds('a time', u.at_ms)
                                               else u.at_ms end / 1000.0)
                        else v_now + case when u.delay not between 0 and 3153600000000
                                          then errand.out_of_bounds('a duration', u.delay)
                                          else u.delay end * interval '1 millisecond' end as due
              from unnest(v_ids, v_keys, v_limits, p_delays::bigint[], p_ats::bigint[]) with ordinality
                as u (id, key, lim, delay, at_ms, ord)) t;
    v_added := null;
  end if;

  -- After the keys are locked, in the order of the call.
  select array_agg(nextval('errand.jobs_seq')) into v_seqs from generate_series(1, v_count);

  if v_shares is not null then
    v_turns := errand.new_turns(v_queues, v_lanes, array(
      select case when t.holder is null and t.state = 3 /* ready */ then t.share end
        from unnest(v_shares, v_states, v_holders) with ordinality as t (share, state, holder, ord) order by t.ord));
  end if;

  with alive as (
    insert into errand.live (
      id, seq, run_at, publish_after, timeout_ms, lane, state, held, last, unique_mode, fails_on_crash, skips_on_failure, queue,
      name, tags, key, share, turn, lim, lim_key, at_limit, has_needs, needed, flow, may_fail)
    select t.id, t.seq, case when t.state = 1 /* scheduled */ then t.due end,
           case when t.state = 3 /* ready */ then v_now + case when t.grace not between 0 and 3153600000000
                                                               then errand.out_of_bounds('a duration', t.grace)
                                                               else t.grace end * interval '1 millisecond' end,
           t.timeout, t.lane, t.state, nullif(t.state, 3 /* ready */),
           errand.link_of(v_number, hashtext(concat_ws(' ', t.name, t.queue, t.state,
                                                    case when t.state = 1 /* scheduled */ then t.due end, t.tags))),
           coalesce(t.unique_mode, 0 /* not unique */),
           coalesce(t.crash_fails, false), coalesce(t.skips, false), t.queue, t.name, t.tags::text[], t.key, t.share, t.turn,
           t.lim, case when t.lim is not null then coalesce(t.lim_key, '') end, t.at_limit,
           case when t.id = any (v_children) then true end, nullif(t.needed, false), t.flow, nullif(t.may_fail, false)
      from unnest(v_ids, v_seqs, v_states, v_due, p_graces::bigint[], v_timeouts, v_lanes, v_unique_modes, v_crash_fails,
                  v_skips, v_queues, v_names, v_tags, v_keys, v_shares, v_turns, v_limits, v_limit_keys, v_at_limit, v_holders,
                  p_needed::boolean[], v_flows, p_may_fails::boolean[])
        as t (id, seq, state, due, grace, timeout, lane, unique_mode, crash_fails, skips, queue, name, tags, key, share, turn,
              lim, lim_key, at_limit, holder, needed, flow, may_fail)
     where t.holder is null
     order by t.seq
    on conflict (id) do nothing
    returning id)
  select array_agg(alive.id) into v_added from alive;

  if coalesce(cardinality(v_added), 0) < v_count - cardinality(array_remove(v_holders, null)) then
    -- Another transaction has stored the same id, and this one may have taken keys for it: the caller must start over.
    if v_keys is not null or v_unique_keys is not null or v_flows is not null or v_children is not null then
      raise exception 'errand: the same job was appended by another transaction' using errcode = '40001';
    end if;
    select array_agg(case when not t.id = any (v_added) or t.nth > 1 then t.id end order by t.ord) into v_holders
      from (select u.id, u.ord, row_number() over (partition by u.id order by u.ord) as nth
              from unnest(v_ids) with ordinality as u (id, ord)) t;
    if v_added is null then v_holders := v_ids; end if;
  end if;
  -- A job with the same id may even have been stored and have ended by now.
  if exists (
    select from unnest(v_ids, v_holders) as t (id, holder)
      join errand.ended x on x.id = any (array[t.id])
     where t.holder is null)
  then
    raise exception 'errand: the same job was appended by another transaction' using errcode = '40001';
  end if;

  insert into errand.jobs (
    id, seq, dispatched_at, expires_at, timeout_ms, unique_for_ms, payload_version, max_attempts, max_crashes, lane,
    fails_on_crash, skips_on_failure, unique_mode, name, queue, key, unique_key, share, lim, lim_key, parent_id, flow, may_fail, tags,
    meta, codec, payload)
  select t.id, t.seq, v_now,
         v_now + case when t.expires not between 0 and 3153600000000
                      then errand.out_of_bounds('a duration', t.expires)
                      else t.expires end * interval '1 millisecond',
         case when t.timeout not between 0 and 3153600000000
              then errand.out_of_bounds('a duration', t.timeout) else t.timeout end,
         case when t.unique_for not between 0 and 3153600000000
              then errand.out_of_bounds('a duration', t.unique_for) else t.unique_for end,
         t.payload_version,
         case when t.attempts not between 1 and 1000000
              then errand.out_of_bounds('a number of runs', t.attempts) else t.attempts end,
         case when t.crashes not between 1 and 1000000
              then errand.out_of_bounds('a number of runs', t.crashes) else t.crashes end,
         case when t.lane not in (100, 200, 300, 400) then errand.out_of_bounds('a lane', t.lane) else t.lane end,
         coalesce(t.crash_fails, false),
         coalesce(t.skips, false),
         coalesce(case when t.unique_mode not between 0 /* not unique */ and 2 /* until started */
                       then errand.out_of_bounds('the mode of a unique key', t.unique_mode)
                       else t.unique_mode end, 0 /* not unique */),
         case when t.name !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$'
              then errand.out_of_bounds('a name', t.name) else t.name end,
         case when t.queue !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
              then errand.out_of_bounds('a queue', t.queue) else t.queue end,
         case when octet_length(t.key) > 2048 then errand.out_of_bounds('a key', t.key) else t.key end,
         case when octet_length(t.unique_key) > 2048
              then errand.out_of_bounds('a key', t.unique_key) else t.unique_key end,
         case when octet_length(t.share) > 2048 then errand.out_of_bounds('a key', t.share) else t.share end,
         case when octet_length(t.lim) > 512 then errand.out_of_bounds('a limit', t.lim) else t.lim end,
         case when octet_length(t.lim_key) > 2048 then errand.out_of_bounds('a key', t.lim_key)
              when t.lim is not null then coalesce(t.lim_key, '') end,
         case when octet_length(t.parent) > 128
              then errand.out_of_bounds('an id or codec', t.parent) else t.parent end,
         t.flow, nullif(t.may_fail, false),
         case when t.tags is not null then errand.tags_of(t.tags) end,
         case when octet_length(t.meta) > 2097152 then errand.out_of_bounds('meta', t.meta) else t.meta end,
         case when octet_length(t.codec) > 128 then errand.out_of_bounds('an id or codec', t.codec) else t.codec end,
         case when octet_length(t.payload) > 25165824
              then errand.out_of_bounds('a payload', t.payload) else t.payload end
    from unnest(v_ids, v_seqs, p_expires::bigint[], v_timeouts, p_unique_fors::bigint[], p_payload_versions::integer[],
                p_attempts::integer[], p_crashes::integer[], v_lanes, v_crash_fails, v_skips, v_unique_modes, v_names, v_queues,
                v_keys, v_unique_keys, v_shares, v_limits, v_limit_keys, p_parents::text[], v_tags, p_metas::text[],
                p_codecs::text[], p_payloads::text[], v_holders, v_flows, p_may_fails::boolean[])
      as t (id, seq, expires, timeout, unique_for, payload_version, attempts, crashes, lane, crash_fails, skips,
            unique_mode, name, queue, key, unique_key, share, lim, lim_key, parent, tags, meta, codec, payload, holder, flow,
            may_fail)
   where t.holder is null
   order by t.seq;

  insert into errand.events (link, jobs, version, type, state, name, queue, tags, run, attempt, run_at, data)
  select errand.link_of(v_number, hashtext(concat_ws(' ', t.name, t.queue, t.state,
                                           case when t.state = 1 /* scheduled */ then t.due end, t.tags))),
         array_agg(t.id order by t.seq), 1, 1 /* dispatched event */, t.state, t.name, t.queue, t.tags::text[], 0, 0,
         case when t.state = 1 /* scheduled */ then t.due end,
         '{' || case when octet_length(t.data) > 16384
                     then errand.out_of_bounds('the data of an event', t.data) else t.data end || '}'
    from unnest(v_ids, v_seqs, v_states, v_due, v_queues, v_names, v_tags, p_data::text[], v_holders)
      as t (id, seq, state, due, queue, name, tags, data, holder)
   where t.holder is null
   group by t.state, t.name, t.queue, t.tags, t.data, case when t.state = 1 /* scheduled */ then t.due end
   order by min(t.seq);

  if v_limits is not null then
    v_admitted := errand.admit_appended(v_ids, v_limits, v_limit_keys, v_at_limit, v_holders, p_graces::bigint[], v_now,
                                      p_inside is not null);
  end if;

  if v_flows is not null then
    perform errand.add_members(array_agg(t.flow order by t.ord), array_agg(t.place order by t.ord), array_agg(t.id order by t.ord))
      from unnest(v_flows, p_places::bigint[], v_ids, v_holders) with ordinality as t (flow, place, id, holder, ord)
     where t.holder is null and t.flow is not null;
  end if;
  -- Something that they need has ended otherwise already.
  if v_unmet <> '{}' then v_cancelled := errand.cancel_appended(v_unmet, v_now, p_inside is not null); end if;

  return (
    select string_agg(
             case when t.id = any (v_cancelled) and t.holder is null then '7' /* cancelled */
                  when t.holder is null and t.id = any (v_admitted) then '3' /* ready */
                  when t.holder is null then t.state::text
                  when t.holder = t.id then 'd'
                  else 'd' || t.holder end, ',' order by t.ord)
      from unnest(v_ids, v_states, v_holders) with ordinality as t (id, state, holder, ord));
end $$;

/*
 * The limits of jobs that were just stored. Answers those of the jobs that may go at once. The tickets of other jobs are not this
 * caller's: they are due for publishing at once.
 */
create function errand.admit_appended(
  p_ids uuid[], p_lims text[], p_keys text[], p_at_limit boolean[], p_holders uuid[], p_graces bigint[], p_now timestamptz,
  p_inside boolean
) returns uuid[] language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_lims text[];
  v_keys text[];
  v_admitted uuid[];
begin
  select array_agg(t.lim), array_agg(coalesce(t.key, '')) into v_lims, v_keys
    from (select distinct u.lim, u.key from unnest(p_lims, p_keys, p_at_limit, p_holders) as u (lim, key, at_limit, holder)
           where u.at_limit and u.holder is null) t;
  if v_lims is null then return null; end if;
  if p_inside then
    insert into errand.limit_notes (lim, lim_key) select t.lim, t.key from unnest(v_lims, v_keys) as t (lim, key);
    return null;
  end if;
  v_admitted := array(
    select a.id from errand.admit(v_lims, v_keys, p_now) a where a.id = any (p_ids));
  update errand.live l set publish_after = p_now + t.grace * interval '1 millisecond'
    from unnest(p_ids, p_graces) as t (id, grace)
   where l.id = any (array[t.id]) and t.id = any (v_admitted);
  return v_admitted;
end $$;

-- Of new jobs, those that need what has ended otherwise: they are cancelled at once.
create function errand.cancel_appended(p_ids uuid[], p_now timestamptz, p_inside boolean) returns uuid[] language plpgsql as $$
declare
  v_ids uuid[] := array(
    select u.id from unnest(p_ids) as u (id)
     where exists (
       select from errand.needs n where n.child = any (array[u.id]) and n.done is not null and not errand.is_met(n.mode, n.done)));
  v_flows uuid[];
  v_cancelled uuid[];
begin
  if v_ids = '{}' then return v_ids; end if;
  select array_agg(a.id) filter (where a.kind = 'cancelled'), array_agg(a.id) filter (where a.kind = 'count')
    into v_cancelled, v_flows
    from errand.advance(v_ids, p_now) a;
  if v_flows is not null and not p_inside then
    perform errand.follow(null, null, null, v_flows, array_fill(0, array[cardinality(v_flows)]),
      array_fill(0, array[cardinality(v_flows)]), array_fill(0, array[cardinality(v_flows)]),
      array_fill(0, array[cardinality(v_flows)]), p_now);
  end if;
  return coalesce(v_cancelled, '{}');
end $$;

-- Adds to the duplicates found so far those whose unique key another job holds.
create function errand.mark_duplicates(p_holders uuid[], p_ids uuid[], p_names text[], p_keys text[])
returns uuid[] language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_ords bigint[];
  v_names text[];
  v_keys text[];
  v_ids uuid[];
  v_found uuid[];
begin
  select array_agg(t.ord order by t.ord), array_agg(t.name order by t.ord), array_agg(t.key order by t.ord),
         array_agg(t.id order by t.ord)
    into v_ords, v_names, v_keys, v_ids
    from unnest(p_holders, p_ids, p_names, p_keys) with ordinality as t (holder, id, name, key, ord)
   where t.holder is null and t.key is not null;
  if v_ords is null then return p_holders; end if;
  v_found := errand.take_unique(v_names, v_keys, v_ids);
  for v_i in 1 .. cardinality(v_ords) loop
    if v_found[v_i] <> v_ids[v_i] then p_holders[v_ords[v_i]] := v_found[v_i]; end if;
  end loop;
  return p_holders;
end $$;
