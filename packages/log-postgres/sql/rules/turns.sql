-- Jobs with a share key take turns. No counter is stored and nothing is locked: a turn follows from the rows that wait. Jobs
-- that become ready in two transactions at a time may get the same turn; then their sequences decide.

-- The lowest turn of the jobs that are ready; few run, and those have lower ones. If all run, the highest. Null: there is none.
create function errand.current_turn(p_queue text, p_lane smallint) returns bigint language plpgsql volatile as $$
begin
  return coalesce((
    select l.turn from errand.live l
     where l.held is null and l.turn is not null and l.queue = p_queue and l.lane = p_lane and l.state = 3 /* ready */
     order by l.turn limit 1), (
    select l.turn from errand.live l
     where l.held is null and l.turn is not null and l.queue = p_queue and l.lane = p_lane
     order by l.turn desc limit 1));
end $$;
create function errand.newest_turn(p_queue text, p_lane smallint, p_share text) returns bigint language plpgsql volatile as $$
begin
  return (
    select l.turn from errand.live l
     where l.held is null and l.turn is not null and l.queue = p_queue and l.lane = p_lane
       -- Equal, in words and an order that only the index on keys has. The one on turns would be read as far as such a key is.
       and l.share >= p_share and l.share <= p_share
     order by l.share desc, l.turn desc limit 1);
end $$;

/*
 * The turns of new jobs, in their order. Each gets the one after the newest of its key, or the current one if that is later or its
 * key has none: a key with one job stands behind one job of each other key, and not behind all of them.
 */
create function errand.new_turns(p_queues text[], p_lanes smallint[], p_shares text[]) returns bigint[]
language plpgsql volatile as $$
begin
  return (
    with lines as materialized (
      select s.queue, s.lane, errand.current_turn(s.queue, s.lane) as turn
        from (select distinct t.queue, t.lane from unnest(p_queues, p_lanes, p_shares) as t (queue, lane, share)
               where t.share is not null) s),
    sharing as materialized (
      select s.queue, s.lane, s.share, greatest(0, line.turn, errand.newest_turn(s.queue, s.lane, s.share) + 1) as turn
        from (select distinct t.queue, t.lane, t.share from unnest(p_queues, p_lanes, p_shares) as t (queue, lane, share)
               where t.share is not null) s
        join lines line on line.queue = s.queue and line.lane = s.lane)
    select array_agg(s.turn + t.nth order by t.ord)
      from (select u.*, row_number() over (partition by u.queue, u.lane, u.share order by u.ord) - 1 as nth
              from unnest(p_queues, p_lanes, p_shares) with ordinality as u (queue, lane, share, ord)) t
      left join sharing s on s.queue = t.queue and s.lane = t.lane and s.share = t.share);
end $$;

/*
 * The turn of a job that becomes ready later. It never gets the current one: its sequence is old, and a key whose jobs become ready
 * one by one would always go first. p_kept: its turn, if it comes back from a run. It keeps that, but never one before the
 * current: new keys would begin there, and overtake all others. Volatile, so that it sees the turns that the same statement has
 * given before.
 */
create function errand.turn_of(p_queue text, p_lane smallint, p_share text, p_kept bigint) returns bigint
language plpgsql volatile as $$
declare
  v_current bigint := errand.current_turn(p_queue, p_lane);
begin
  return case when p_kept is not null then greatest(p_kept, v_current)
              else greatest(0, v_current + 1, errand.newest_turn(p_queue, p_lane, p_share) + 1) end;
end $$;

/*
 * Ready jobs by turn: p_counts[n] of p_queues[n] and p_lanes[n]. Each with the place of that line, and its place in it.
 */
create function errand.next_in_turn(p_queues text[], p_lanes smallint[], p_counts integer[])
returns table (place tid, id uuid, unique_mode smallint, line bigint, nth bigint) language plpgsql as $$
#variable_conflict use_column
begin
  return query
    select n.ctid, n.id, n.unique_mode, s.line, row_number() over (partition by s.line order by n.turn, n.seq)
      from unnest(p_queues, p_lanes, p_counts) with ordinality as s (queue, lane, count, line)
     cross join lateral (
       select l.ctid, l.id, l.unique_mode, l.turn, l.seq from errand.live l
        where l.held is null and l.turn is not null and l.state = 3 /* ready */ and l.queue = s.queue and l.lane = s.lane
          and age(l.xmin) >= 0
        order by l.turn, l.seq limit s.count for update skip locked) n;
end $$;

/*
 * The picked jobs that share give the places that they have together to the jobs whose turn it is. The others keep theirs. The
 * caller has locked the picked ones, so as many as share are found.
 */
create function errand.by_turn(p_rows tid[]) returns table (place tid, id uuid, unique_mode smallint, queue text, lane smallint, seq bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  v_queues text[];
  v_lanes smallint[];
  v_counts integer[];
begin
  select array_agg(s.queue), array_agg(s.lane), array_agg(s.count) into v_queues, v_lanes, v_counts
    from (select l.queue, l.lane, count(*)::integer as count from errand.live l
           where l.ctid = any (p_rows) and l.turn is not null group by l.queue, l.lane) s;
  return query
    with picked as materialized (
      select l.ctid as place, l.id, l.unique_mode, l.queue, l.lane, l.seq, l.turn,
             row_number() over (partition by l.queue, l.lane, l.turn is null order by l.seq) as nth
        from errand.live l where l.ctid = any (p_rows))
    select p.place, p.id, p.unique_mode, p.queue, p.lane, p.seq from picked p where p.turn is null
    union all
    select n.place, n.id, n.unique_mode, v_queues[n.line], v_lanes[n.line], p.seq
      from errand.next_in_turn(v_queues, v_lanes, v_counts) n
      join picked p on p.turn is not null and p.queue = v_queues[n.line] and p.lane = v_lanes[n.line] and p.nth = n.nth;
end $$;
