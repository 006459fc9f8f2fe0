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
begin
  if cardinality(p_rows) = 1 then
    with granted as (
      update errand.live l
         set state = 4 /* running */, run = l.run + 1, attempt = l.attempt + 1, version = l.version + 1,
             before = l.last, last = v_number, worker = p_worker,
             deadline = p_now + (case when l.timeout_ms is not null then least(greatest(l.timeout_ms, 0), 3153600000000) end
                                 + v_grace_ms) * interval '1 millisecond'
       where l.ctid = any (p_rows)
      returning l.ctid as place, l.id, l.before, l.version, l.name, l.queue, l.tags, l.run, l.attempt, l.deadline),
    held as (
      insert into errand.grants (worker, request, deadline, jobs, runs)
      select p_worker, p_request, g.deadline, array[g.id], array[g.run] from granted g),
    noted as (
      insert into errand.events (
        seq, link, jobs, befores, version, type, state, name, queue, tags, run, attempt, worker, data)
      select v_number, v_number, array[g.id], array[g.before], g.version, 4 /* started event */, 4 /* running */, g.name,
             g.queue, g.tags, g.run, g.attempt, p_worker, p_data
        from granted g)
    select array[g.place] into v_rows from granted g;
    return v_rows;
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
