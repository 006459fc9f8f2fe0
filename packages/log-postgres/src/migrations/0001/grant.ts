import { laneRank, lanes } from '@errand/core/ports'
import { eventCode, stateCode, uniqueCode } from '../../codes.ts'
import { boundedMs } from './bounds.ts'
import { foundBy, hot, isEarlier, stateIs } from './hot.ts'

/** Overdue jobs of one queue that are put in order before the oldest are taken. */
const overdueLook = 1_000

/** What a worker gets with a claim. */
const claimColumns = `
  id uuid, run integer, attempt integer, crashes integer, replays integer, parked_ms bigint, expires_ms bigint,
  max_attempts integer, max_crashes integer, fails_on_crash boolean, timeout_ms bigint, name text,
  payload_version integer, queue text, lane smallint, codec text, payload text, tags text[], meta text, key text,
  parent_id text, dispatched_ms bigint`

const claimOf = (s: string, live: string): string => `
  ${live}.id, ${live}.run, ${live}.attempt, ${live}.crashes, ${live}.replays,
  ${s}.ms(v_now) - ${s}.ms(${live}.parked_since), ${s}.ms(j.expires_at) - ${s}.ms(v_now), j.max_attempts,
  ${live}.max_crashes, ${live}.fails_on_crash, ${boundedMs(`${live}.timeout_ms`)}, ${live}.name, j.payload_version, ${live}.queue,
  ${live}.lane, j.codec, j.payload, ${live}.tags, j.meta, ${live}.key, j.parent_id, ${s}.ms(j.dispatched_at)`

/**
 * Jobs that are ready become this worker's, and their starts are on record. Their rows are locked already, so that they
 * are found again where they lie, without a look into any index.
 */
const grant = (s: string): string => `
  granted as (
    update ${s}.live l
       set state = ${stateCode.running}, run = l.run + 1, attempt = l.attempt + 1, version = l.version + 1,
           worker = p_worker, request = p_request, publish_after = null,
           deadline = v_now + (${boundedMs('l.timeout_ms')} + ${boundedMs('p_grace_ms')}) * interval '1 millisecond'
     where l.ctid = any (v_rows)
    returning l.*),
  noted as (
    insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, worker, data)
    select g.id, g.version, ${eventCode.started}, ${stateCode.running}, g.name, g.queue, g.tags, g.run, g.attempt, p_worker,
           p_data
      from granted g order by g.queue, g.lane, g.seq)`

/**
 * One look at all that a grant depends on: the worker's lease, the queues that are paused, and whether this very request
 * was granted before and its answer lost; then it gets the same claims once more.
 */
const checkLease = (s: string, asked: string): string => `
  select w.queues, array(select p.name from ${s}.paused_queues p),
         array(select l.id from ${s}.live l
                where l.worker = p_worker and l.request = p_request and l.state = ${stateCode.running} ${asked})
    into v_served, v_paused, v_repeated
    from ${s}.workers w where w.id = p_worker and w.lease_until >= v_now;
  if not found then
    raise exception 'errand: the lease of this worker is out' using errcode = 'ERR01';
  end if;`

/** Finds rows and locks them: adds their places to v_rows, and to v_started the jobs whose unique keys their start frees. */
const pick = (rows: string): string => `
        select coalesce(array_agg(f.ctid), '{}'),
               v_started || coalesce(array_agg(f.id) filter (where f.unique_mode = ${uniqueCode.untilStarted}), '{}')
          into v_more, v_started
          from (select l.ctid, l.id, l.unique_mode ${rows} for update skip locked) f;
        v_rows := v_rows || v_more;`

/** Where a take begins in one lane of one queue. */
const from = 'p_from[(v_at - 1) * cardinality(v_lanes) + v_lane]'

/** Claims: the log's grants, by ticket and by order. */
export const granting = (s: string): string => `
/*
 * Judges tickets (each id once) and grants at most p_max. Rows are locked in the order of their ids, and those that
 * somebody else has locked are passed over: batches of the same tickets in any order cannot deadlock.
 */
create function ${s}.claim(
  p_ids uuid[], p_max integer, p_worker text, p_request text, p_grace_ms bigint, p_data text
) returns table (verdict text, at_ms bigint, ${claimColumns}) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_served text[];
  v_paused text[];
  v_repeated uuid[];
  v_ids uuid[];
  v_rows tid[];
  v_started uuid[];
begin ${checkLease(s, 'and l.id = any (p_ids)')}
  select array_agg(c.id), array_agg(c.place), array_agg(c.id) filter (where c.unique_mode = ${uniqueCode.untilStarted})
    into v_ids, v_rows, v_started
    from (select f.id, f.place, f.unique_mode
            from (select l.id, l.ctid as place, l.unique_mode from ${s}.live l
                   where l.id = any (p_ids) and ${stateIs('l', stateCode.ready)} and ${isEarlier('l')}
                     and l.queue = any (v_served) and not l.queue = any (v_paused)
                   order by l.id
                     for update skip locked) f
           order by array_position(p_ids, f.id)
           limit greatest(p_max - cardinality(v_repeated), 0)) c;

  if v_repeated <> '{}' then
    return query
      select 'run', null::bigint, ${claimOf(s, 'l')}
        from ${s}.live l join ${s}.jobs j on ${foundBy('j.id', 'l.id')}
       where l.id = any (v_repeated);
  end if;
  if v_ids is not null then
    return query
      with ${grant(s)}
      select 'run', null::bigint, ${claimOf(s, 'g')} from granted g join ${s}.jobs j on ${foundBy('j.id', 'g.id')};
    if v_started is not null then perform ${s}.free_unique(v_started, true); end if;
    if cardinality(v_ids) + cardinality(v_repeated) = cardinality(p_ids) then return; end if;
  end if;

  return query
    select case
             when l.id is null then
               case when exists (select from ${s}.jobs j where ${foundBy('j.id', 't.id')}) then 'finished'
                    else 'unknown' end
             when l.state = ${stateCode.running} then 'busy'
             when l.state = ${stateCode.blocked} then 'blocked'
             when l.state = ${stateCode.scheduled} then 'later'
             when l.state <> ${stateCode.ready} then 'finished'
             when l.queue = any (v_paused) then 'paused'
             when not l.queue = any (v_served) then 'elsewhere'
             else 'again'
           end,
           case when l.state = ${stateCode.scheduled} then ${s}.ms(l.run_at) end,
           t.id, null::integer, null::integer, null::integer, null::integer, null::bigint, null::bigint, null::integer,
           null::integer, null::boolean, null::bigint, null::text, null::integer, null::text, null::smallint, null::text,
           null::text, null::text[], null::text, null::text, null::text, null::bigint
      from unnest(p_ids) as t (id)
      left join ${s}.live l on ${foundBy('l.id', 't.id')}
     where (v_ids is null or not t.id = any (v_ids)) and not t.id = any (v_repeated);
end $$;

/*
 * Claims by order: the queues in the order given, lanes from the highest, then older jobs; p_lowest of each queue's from
 * the lowest lane that waits. p_from: where to begin per queue and lane (queue by queue), null from the front; until a
 * vacuum has been there the front of the index is full of dead rows. p_overdue: what no ticket has fetched in time, oldest first.
 * The first row answers only how long the search took, in microseconds.
 */
create function ${s}.take(
  p_queues text[], p_max integer, p_worker text, p_request text, p_grace_ms bigint, p_data text, p_lowest integer,
  p_overdue boolean, p_from bigint[]
) returns table (seq bigint, ${claimColumns}) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now timestamptz := ${s}.clock();
  v_lanes smallint[] := array[${lanes.map((lane) => laneRank[lane]).join(', ')}];
  v_served text[];
  v_paused text[];
  v_repeated uuid[];
  v_ids uuid[];
  v_rows tid[] := '{}';
  v_started uuid[] := '{}';
  v_more tid[];
  v_queue text;
  v_left integer := p_max;
  v_low integer;
  v_top integer;
  v_at integer := 0;
  v_search timestamptz;
begin ${checkLease(s, '')}
  if v_repeated <> '{}' then
    return query
      select l.seq, ${claimOf(s, 'l')}
        from ${s}.live l join ${s}.jobs j on ${foundBy('j.id', 'l.id')}
       where l.id = any (v_repeated)
       order by array_position(p_queues, l.queue), l.lane, l.seq;
    return;
  end if;

  v_search := clock_timestamp();
  if p_overdue then
    -- The longest overdue of each queue, and of those the oldest: never a look at the whole of a long backlog.
    v_ids := array(
      select o.id
        from unnest(p_queues) as q (name)
       cross join lateral (
         select l.id from ${s}.live l
          where ${stateIs('l', stateCode.ready)} and l.queue = q.name and l.publish_after <= v_now
          order by l.publish_after limit greatest(p_max, ${overdueLook})) o
       where not q.name = any (v_paused));
    ${pick(`from ${s}.live l
                 where l.id = any (v_ids) and ${stateIs('l', stateCode.ready)} and l.publish_after <= v_now
                   and ${isEarlier('l')}
                 order by l.seq limit p_max`)}
  else
    foreach v_queue in array p_queues loop
      v_at := v_at + 1;
      exit when v_left <= 0;
      continue when v_queue = any (v_paused);
      v_low := least(p_lowest, v_left);
      v_top := v_left - v_low;
      if p_from is null then
        ${pick(`from ${s}.live l
                 where l.state = ${stateCode.ready} and l.queue = v_queue and ${isEarlier('l')}
                 order by l.lane, l.seq limit v_top`)}
        v_top := v_top - cardinality(v_more);
      else
        for v_lane in 1 .. cardinality(v_lanes) loop
          exit when v_top <= 0;
          ${pick(`from ${s}.live l
                   where l.state = ${stateCode.ready} and l.queue = v_queue and l.lane = v_lanes[v_lane]
                     and l.seq >= ${from} and ${isEarlier('l')}
                   order by l.seq limit v_top`)}
          v_top := v_top - cardinality(v_more);
        end loop;
      end if;
      v_left := v_top + v_low;
      -- Fewer than were asked for: nothing else waits, whatever the lane.
      continue when v_top > 0;
      -- From the lowest lane that waits, then the next lowest. What was locked above is met again here: looked past.
      for v_lane in reverse cardinality(v_lanes) .. 1 loop
        exit when v_low <= 0;
        ${pick(`from ${s}.live l
                 where l.state = ${stateCode.ready} and l.queue = v_queue and l.lane = v_lanes[v_lane]
                   and l.seq >= coalesce(${from}, 0) and not l.ctid = any (v_rows) and ${isEarlier('l')}
                 order by l.seq limit v_low`)}
        v_low := v_low - cardinality(v_more);
      end loop;
      v_left := v_low;
    end loop;
  end if;
  seq := (extract(epoch from clock_timestamp() - v_search) * 1000000)::bigint;
  return next;
  if v_rows = '{}' then return; end if;

  return query
    with ${grant(s)}
    select g.seq, ${claimOf(s, 'g')} from granted g join ${s}.jobs j on ${foundBy('j.id', 'g.id')}
     order by case when p_overdue then 0 else array_position(p_queues, g.queue) end,
              case when p_overdue then 0 else g.lane end, g.seq;
  if v_started <> '{}' then perform ${s}.free_unique(v_started, true); end if;
end $$;
`
