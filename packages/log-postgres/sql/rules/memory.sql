-- What a job remembers. A step is stored under the fence of its run: the job's row is locked until the commit, so that nobody can
-- take the run away in between. The lock is for sharing, and writes no version of the row: steps of one job do not wait for each other.

-- A name within its bounds.
-- As a text: a body that is parsed at once would keep the other rule from being dropped before this one.
create function errand.step_name(p_name text) returns text language sql as $$
  select case when octet_length(p_name) not between 1 and 512 then errand.out_of_bounds('the name of a step', p_name) else p_name end $$;

/*
 * Stores steps of running jobs. Each parameter is the text of an array with a place for each step. Answers a word for each, with
 * commas between: `kept`, `already`, `claim-lost`, `again` (the row is locked) or `full`. Waits for no row, and a moment for a step of
 * the same name that another transaction is storing.
 */
create function errand.remember(
  p_ids text, p_runs text, p_names text, p_versions text, p_durations text, p_codecs text, p_bodies text, p_worker text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off
set lock_timeout to '100ms' as $$
declare
  v_ids uuid[] := p_ids::uuid[];
  v_runs integer[] := p_runs::integer[];
  v_names text[] := p_names::text[];
  v_bodies text[] := p_bodies::text[];
  v_locked uuid[];
  v_locked_runs integer[];
  -- The place in the order that each step gets. Null: its fence does not match; 0: it is stored; -1: there is no room.
  v_places bigint[];
  v_kept bigint[];
begin
  select array_agg(l.id), array_agg(l.run) into v_locked, v_locked_runs
    from (select l.id, l.run from errand.live l
           where l.id = any (v_ids) and l.state = 4 /* running */ and l.worker = p_worker
           order by l.id for share skip locked) l;

  v_places := array(
    select case when not a.is_mine or a.is_mine is null then null
                when not a.is_new then 0
                when a.steps + sum(a.is_new::integer) over earlier > 1000
                  or a.size + sum(case when a.is_new then a.own_size else 0 end) over earlier > 4194304 then -1
                else nextval('errand.steps_seq') end
      from (
        select t.id, t.ord, t.is_mine, coalesce(length(t.body), 0) as own_size, coalesce(k.steps, 0) as steps,
               coalesce(k.size, 0) as size,
               t.is_mine and row_number() over (partition by t.id, t.name order by t.ord) = 1
                 and not exists (select from errand.steps s where s.job_id = any (array[t.id]) and s.name = t.name) as is_new
          from (select u.*, v_locked_runs[array_position(v_locked, u.id)] = u.run as is_mine
                  from unnest(v_ids, v_runs, v_names, v_bodies) with ordinality as u (id, run, name, body, ord)) t
          left join lateral (
            select count(*) as steps, sum(s.size) as size from errand.steps s where s.job_id = any (array[t.id])) k on t.is_mine) a
    window earlier as (partition by a.id order by a.ord)
     order by a.ord);

  with stored as (
    insert into errand.steps (job_id, name, ord, done_at, duration_ms, run, memory_version, size, kind, codec, body)
    select t.id, errand.step_name(t.name), t.place, errand.clock(),
           case when t.duration not between 0 and 3153600000000 then errand.out_of_bounds('a duration', t.duration) else t.duration end,
           t.run, t.version, coalesce(length(t.body), 0), 1 /* step */,
           case when octet_length(t.codec) > 128 then errand.out_of_bounds('an id or codec', t.codec) else t.codec end,
           case when octet_length(t.body) > 1048576 then errand.out_of_bounds('the result of a step', t.name) else t.body end
      from unnest(v_ids, v_runs, v_names, p_versions::integer[], p_durations::bigint[], p_codecs::text[], v_bodies, v_places)
             as t (id, run, name, version, duration, codec, body, place)
     where t.place > 0
     order by t.id, t.name
    on conflict (job_id, name) do nothing
    returning ord)
  select array_agg(stored.ord) into v_kept from stored;

  return (
    select string_agg(
             case when t.place = -1 then 'full'
                  when t.place = any (v_kept) then 'kept'
                  when t.place is not null then 'already'
                  when exists (
                    select from errand.live l
                     where l.id = any (array[t.id]) and l.run = t.run and l.state = 4 /* running */ and l.worker = p_worker)
                  then 'again'
                  else 'claim-lost' end, ',' order by t.ord)
      from unnest(v_ids, v_runs, v_places) with ordinality as t (id, run, place, ord));
end $$;

/*
 * Stores a step as a statement of the caller's transaction. A sweep passes over the job until the commit. If the claim is lost, or
 * the name is stored by then, the transaction fails and cannot commit.
 */
create function errand.remember_inside(
  p_id text, p_run text, p_name text, p_version text, p_duration text, p_codec text, p_body text, p_worker text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_steps bigint;
  v_size bigint;
  v_duration bigint := p_duration::bigint;
begin
  perform 1 from (
    select from errand.live l
     where l.id = p_id::uuid and l.run = p_run::integer and l.state = 4 /* running */ and l.worker = p_worker for share) locked;
  if not found then
    raise exception 'errand: the claim on job % is lost', p_id using errcode = 'ERR02';
  end if;
  insert into errand.steps (job_id, name, done_at, duration_ms, run, memory_version, size, kind, codec, body)
  values (p_id::uuid, errand.step_name(p_name), errand.clock(),
          case when v_duration not between 0 and 3153600000000 then errand.out_of_bounds('a duration', v_duration) else v_duration end,
          p_run::integer, p_version::integer, coalesce(length(p_body), 0), 1 /* step */,
          case when octet_length(p_codec) > 128 then errand.out_of_bounds('an id or codec', p_codec) else p_codec end,
          case when octet_length(p_body) > 1048576 then errand.out_of_bounds('the result of a step', p_name) else p_body end)
  on conflict (job_id, name) do nothing;
  if not found then
    raise exception 'errand: step % of job % is stored already', p_name, p_id using errcode = 'ERR02';
  end if;
  select count(*), sum(s.size) into v_steps, v_size from errand.steps s where s.job_id = p_id::uuid;
  if v_steps > 1000 or v_size > 4194304 then
    raise exception 'errand: job % remembers as much as may be', p_id using errcode = 'ERR04';
  end if;
  return '';
end $$;

-- The step of this name as JSON: the columns that the client reads of `steps`, as texts. Empty: there is none.
create function errand.recall(p_id text, p_run text, p_name text, p_worker text) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
begin
  if not exists (
    select from errand.live l
     where l.id = p_id::uuid and l.run = p_run::integer and l.state = 4 /* running */ and l.worker = p_worker)
  then
    raise exception 'errand: the claim on job % is lost', p_id using errcode = 'ERR02';
  end if;
  return coalesce((
    select json_build_array(
             s.name, s.kind::text,
             case when s.done_at is not null then (
               select count(*)::text from errand.steps d
                where d.job_id = s.job_id and d.done_at is not null and d.ord <= s.ord) end,
             s.run::text, s.memory_version::text, errand.ms(s.done_at)::text, s.duration_ms::text, errand.ms(s.until)::text, s.called,
             s.ended_by::text, s.codec, s.body, s.message_id)::text
      from errand.steps s where s.job_id = p_id::uuid and s.name = p_name), '');
end $$;
