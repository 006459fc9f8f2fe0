/*
 * Grants these rows of ready jobs, which the caller has locked, and answers their new places. A single row skips the
 * grouping, which is most of the cost of a request for one job.
 */
create function errand.grant_rows(
  p_rows tid[], p_now timestamptz, p_worker text, p_request text, p_grace_ms bigint, p_data text
) returns tid[] language plpgsql as $$
declare
  v_number bigint := nextval('errand.events_seq');
  v_grace_ms bigint := case when p_grace_ms is not null then least(greatest(p_grace_ms, 0), 3153600000000) end;
  v_rows tid[];
  v_one record;
begin
  if cardinality(p_rows) = 1 then
    update errand.live l
       set state = 4 /* running */, run = l.run + 1, attempt = l.attempt + 1, version = l.version + 1,
           before = l.last, last = v_number, worker = p_worker,
           deadline = p_now + (case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end
                               + v_grace_ms) * interval '1 millisecond'
     where l.ctid = any (p_rows)
    returning l.ctid as place, l.id, l.before, l.version, l.name, l.queue, l.tags, l.run, l.attempt, l.deadline into v_one;
    insert into errand.grants (worker, request, deadline, jobs, runs)
    values (p_worker, p_request, v_one.deadline, array[v_one.id], array[v_one.run]);
    insert into errand.events (seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, data)
    values (v_number, v_number, array[v_one.id], array[v_one.before], v_one.version, 4 /* started event */, 4 /* running */,
            v_one.name, v_one.queue, v_one.tags, v_one.run, v_one.attempt, p_worker, p_data);
    return array[v_one.place];
  end if;

  with granted as (
    update errand.live l
       set state = 4 /* running */, run = l.run + 1, attempt = l.attempt + 1, version = l.version + 1,
           before = l.last,
           last = errand.link_of(v_number, hashtext(l.name) # l.version # coalesce(hash_array(l.tags), 0)),
           worker = p_worker,
           deadline = p_now + (case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end
                               + v_grace_ms) * interval '1 millisecond'
     where l.ctid = any (p_rows)
    returning l.ctid as place, l.id, l.last, l.before, l.version, l.name, l.queue, l.tags, l.run, l.attempt, l.deadline),
  held as (
    insert into errand.grants (worker, request, deadline, jobs, runs)
    select p_worker, p_request, min(g.deadline), array_agg(g.id), array_agg(g.run) from granted g),
  noted as (
    insert into errand.events (
      link, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, data)
    select g.last, array_agg(g.id),
           case when min(g.before) = max(g.before) then array[min(g.before)] else array_agg(g.before) end,
           g.version, 4 /* started event */, 4 /* running */, g.name, g.queue, g.tags, g.run, g.attempt, p_worker, p_data
      from granted g
     group by g.last, g.version, g.name, g.queue, g.tags, g.run, g.attempt)
  select array_agg(g.place) into v_rows from granted g;
  return v_rows;
end $$;

/*
 * What a claim answers, row by row. Nothing else is in the body of this function and of the next one, so that they become
 * parts of the statements that use them, and cost no call.
 */
create function errand.granted_jobs(p_now timestamptz) returns table (
  place tid, seq bigint, id uuid, run integer, attempt integer, crashes integer, replays integer, parked_ms bigint,
  expires_ms bigint, max_attempts integer, max_crashes integer, fails_on_crash boolean, timeout_ms bigint, name text,
  payload_version integer, queue text, lane smallint, codec text, payload text, tags text[], meta text, key text,
  parent_id text, dispatched_ms bigint, flow uuid
) language sql stable as $$
  select l.ctid, l.seq, l.id, l.run, l.attempt, coalesce(l.crashes, 0), j.replays, errand.ms(p_now) - errand.ms(l.parked_since),
         -- A job that was suspended may be tried again for as long as a new one.
         case when j.expires_at is not null
              then errand.ms(j.expires_at) - errand.ms(p_now)
                   + case when l.resumed_at is not null then errand.ms(l.resumed_at) - errand.ms(j.dispatched_at) else 0 end end,
         j.max_attempts, j.max_crashes, l.fails_on_crash, case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end,
         l.name, j.payload_version, l.queue, l.lane, j.codec, j.payload, l.tags, j.meta, l.key, j.parent_id,
         errand.ms(j.dispatched_at), j.flow
    from errand.live l join errand.jobs j on j.seq = any (array[l.seq])
$$;

-- The worker, while its lease lasts: its queues, the paused ones, those with a limit, and whether this request was granted something before.
create function errand.leased(p_worker text, p_request text, p_now timestamptz) returns table (
  served text[], paused text[], limited text[], is_repeated boolean
) language sql stable as $$
  select w.queues, array(select p.name from errand.paused_queues p),
         array(select q.name from errand.limited_queues q),
         exists (select from errand.grants g where g.worker = any (array[p_worker]) and g.request = p_request)
    from errand.workers w where w.id = p_worker and w.lease_until >= p_now
$$;

/*
 * How many more jobs of these queues may run, by their places; null: any number. The caller grants them in this transaction. The
 * rows are locked in the order of their names, and the jobs that run are counted in a later statement, which sees what others have granted.
 */
create function errand.free_places(p_queues text[]) returns integer[] language plpgsql as $$
begin
  -- Others hold it for the length of a claim.
  perform set_config('lock_timeout', '5s', true);
  perform 1 from (
    select from errand.limited_queues q where q.name = any (p_queues) order by q.name for update) locked;
  return array(
    select case when q.name is not null
                then greatest(0, q.concurrency - (
                  select count(distinct r.id)
                    from errand.runs r
                   cross join lateral (select l.queue from errand.live l where l.id = any (array[r.id]) offset 0) l
                   where l.queue = q.name))::integer end
      from unnest(p_queues) with ordinality as u (name, ord)
      left join errand.limited_queues q on q.name = u.name
     order by u.ord);
end $$;

-- Of these rows of jobs those that there are places for, the first ones first.
create function errand.within_limits(p_rows tid[], p_queues text[], p_places integer[]) returns tid[] language plpgsql as $$
begin
  return array(
    select f.ctid
      from (select l.ctid, t.nth, p_places[array_position(p_queues, l.queue)] as most,
                   row_number() over (partition by l.queue order by t.nth) as taken
              from unnest(p_rows) with ordinality as t (place, nth)
              join errand.live l on l.ctid = any (array[t.place])) f
     where f.taken <= coalesce(f.most, f.taken)
     order by f.nth);
end $$;

-- What is left of the free places of queues, once jobs of the queues at p_taken are picked.
create function errand.left_places(p_places integer[], p_taken integer[]) returns integer[] language plpgsql as $$
begin
  return array(
    select u.places - (select count(*) from unnest(p_taken) as t (place) where t.place = u.place)::integer
      from unnest(p_places) with ordinality as u (places, place) order by u.place);
end $$;
