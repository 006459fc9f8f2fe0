-- Settles succeeded runs: most runs. It deletes a row without locking it first, so that the row
-- is written once. `settle` never waits for a row. This one waits as long as another transaction may lock a row just to read
-- it, and then leaves the batch to `settle`. Answers null if it has settled all runs, and nothing else is to be told. Else its first line
-- has the ids of those that it has settled, and the others go to `settle`; the lines after it are those of `settle` about other jobs.

create function errand.settle_succeeded(
  p_ids text, p_runs text, p_codecs text, p_bodies text, p_durations text, p_worker text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off
set lock_timeout to '50ms' as $$
declare
  v_now timestamptz := errand.clock();
  v_ids uuid[] := p_ids::uuid[];
  v_number bigint := nextval('errand.events_seq');
  v_settled uuid[];
  v_holders uuid[];
  v_queues text[];
  v_keys text[];
  v_unique uuid[];
  v_passed text;
  v_limited uuid[];
  v_lims text[];
  v_lim_keys text[];
  v_ended uuid[];
  v_needed boolean[];
  v_flows uuid[];
  v_one record;
begin
  if cardinality(v_ids) = 1 then
    delete from errand.live l
     where l.id = any (v_ids) and l.run = (p_runs::integer[])[1] and l.state = 4 /* running */ and l.worker = p_worker
       and age(l.xmin) >= 0
    returning l.* into v_one;
    if not found then return ''; end if;
    insert into errand.ended (id, seq, at, last, version, run, state, shares)
    values (v_one.id, v_one.seq, v_now, v_number, v_one.version + 1, nullif(v_one.run, 1), 5 /* succeeded */,
            nullif(v_one.share is not null, false));
    if not exists (select from errand.succeeded_ranges r
                    where r.start = any (array[errand.range_start(v_one.seq)]) and not r.leaving) then
      insert into errand.succeeded_ranges (start) values (errand.range_start(v_one.seq));
    end if;
    insert into errand.events (
      seq, link, at, jobs, befores, durations_ms, bodies, version, type, state, name, queue, tags, run, attempt, worker, codec)
    values (v_number, v_number, v_now, v_ids, array[v_one.last], p_durations::bigint[], nullif(p_bodies::text[], '{NULL}'),
            v_one.version + 1, 6 /* succeeded event */, 5 /* succeeded */, v_one.name, v_one.queue, v_one.tags, v_one.run,
            v_one.attempt, p_worker, (p_codecs::text[])[1]);
    if v_one.unique_mode <> 0 /* not unique */ then perform errand.free_unique(v_ids, true); end if;
    if v_one.key is null and v_one.lim is null and v_one.needed is null and v_one.flow is null then return null; end if;
    return concat_ws(E'\n', v_one.id,
      case when v_one.key is not null then errand.pass_ended(v_ids, array[v_one.queue], array[v_one.key], v_now) end,
      case when v_one.needed or v_one.flow is not null
           then errand.lines_after_end(v_ids, '{5}' /* succeeded */, array[v_one.needed], array[v_one.flow], null, v_now, false) end,
      case when v_one.lim is not null then errand.admit_after(v_ids, array[v_one.lim], array[v_one.lim_key], v_now, false) end);
  end if;

  with gone as (
    -- In the order of the ids, as in every statement that locks many rows.
    delete from errand.live l
     using (select * from unnest(v_ids, p_runs::integer[], p_codecs::text[], p_bodies::text[], p_durations::bigint[])
                     as u (id, run, codec, body, duration_ms)
             order by u.id) r
     where l.id = any (array[r.id]) and l.run = r.run and l.state = 4 /* running */ and l.worker = p_worker
       and age(l.xmin) >= 0
    returning l.id, l.seq, l.key, l.share, l.lim, l.lim_key, l.needed, l.flow, l.unique_mode, l.version + 1 as version, l.name, l.queue, l.tags, l.run, l.attempt, r.codec, r.body, r.duration_ms,
              -- A large result has its own row, so that nobody has to read it together with others.
              case when octet_length(r.body) > 1000 then l.id end as own, l.last as before,
              errand.link_of(v_number, hashtext(l.name) # l.version # coalesce(hash_array(l.tags), 0)
                                       # case when octet_length(r.body) > 1000 then uuid_hash(l.id) else 0 end) as last),
  done as (
    insert into errand.ended (id, seq, at, last, version, run, state, shares)
    select g.id, g.seq, v_now, g.last, g.version, nullif(g.run, 1), 5 /* succeeded */, nullif(g.share is not null, false)
      from gone g),
  ranged as (
    insert into errand.succeeded_ranges (start)
    select s.start from (select distinct errand.range_start(g.seq) as start from gone g) s
     where not exists (select from errand.succeeded_ranges r where r.start = any (array[s.start]) and not r.leaving)),
  noted as (
    insert into errand.events (
      link, at, jobs, befores, durations_ms, bodies, version, type, state, name, queue, tags, run, attempt, worker, codec)
    select g.last, v_now, array_agg(g.id),
           case when min(g.before) = max(g.before) then array[min(g.before)] else array_agg(g.before) end,
           case when min(g.duration_ms) = max(g.duration_ms) and count(*) = count(g.duration_ms)
                then array[min(g.duration_ms)] else array_agg(g.duration_ms) end,
           case when count(g.body) > 0 then array_agg(g.body) end, g.version, 6 /* succeeded event */, 5 /* succeeded */,
           g.name, g.queue, g.tags, g.run, g.attempt, p_worker, g.codec
      from gone g
     group by g.last, g.version, g.name, g.queue, g.tags, g.run, g.attempt, g.codec, g.own)
  select array_agg(g.id), array_agg(g.id) filter (where g.key is not null),
         array_agg(g.queue) filter (where g.key is not null), array_agg(g.key) filter (where g.key is not null),
         array_agg(g.id) filter (where g.unique_mode <> 0 /* not unique */), array_agg(g.id) filter (where g.lim is not null),
         array_agg(g.lim) filter (where g.lim is not null), array_agg(g.lim_key) filter (where g.lim is not null),
         array_agg(g.id) filter (where g.needed or g.flow is not null),
         array_agg(g.needed) filter (where g.needed or g.flow is not null),
         array_agg(g.flow) filter (where g.needed or g.flow is not null)
    into v_settled, v_holders, v_queues, v_keys, v_unique, v_limited, v_lims, v_lim_keys, v_ended, v_needed, v_flows
    from gone g;

  if v_unique is not null then perform errand.free_unique(v_unique, true); end if;
  if v_keys is not null then
    v_passed := errand.pass_ended(v_holders, v_queues, v_keys, v_now);
  end if;
  if v_ended is not null then
    v_passed := concat_ws(E'\n', v_passed, errand.lines_after_end(
      v_ended, array_fill(5 /* succeeded */::smallint, array[cardinality(v_ended)]), v_needed, v_flows, null, v_now, false));
  end if;
  if v_lims is not null then
    v_passed := concat_ws(E'\n', v_passed, errand.admit_after(v_limited, v_lims, v_lim_keys, v_now, false));
  end if;
  if coalesce(v_passed, '') = '' and cardinality(v_settled) = cardinality(v_ids) then return null; end if;
  return concat_ws(E'\n', coalesce(array_to_string(v_settled, ','), ''), v_passed);
end $$;
