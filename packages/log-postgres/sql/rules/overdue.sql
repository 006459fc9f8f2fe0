-- Ready jobs that no ticket has fetched in time. No index knows that time: a plain job would pay for its entry, and hardly one
-- is ever overdue. The jobs at the front of a lane have waited longest, so they are looked at. Whoever is behind them has
-- its turn after them, and then it is at the front.

-- The lanes of a queue that have jobs which are ready or run, from the highest.
create function errand.open_lanes(p_queue text) returns setof smallint language sql stable as $$
  with recursive open (lane) as (
    (select l.lane from errand.live l where l.held is null and l.queue = p_queue order by l.lane limit 1)
    union all
    select n.lane
      from open o
     cross join lateral (
       select l.lane from errand.live l where l.held is null and l.queue = p_queue and l.lane > o.lane order by l.lane limit 1) n)
  select open.lane from open
$$;

/*
 * The overdue jobs of a queue, at most p_limit of each lane. If the twentieth job of a lane still waits for its first ticket, so
 * do those behind it, and they are not read: a long queue costs no more than a short one. Else 5,000 are.
 */
create function errand.overdue_jobs(p_queue text, p_now timestamptz, p_limit integer) returns table (id uuid, seq bigint)
language sql stable as $$
  select f.id, f.seq
    from errand.open_lanes(p_queue) as o (lane)
   cross join lateral (
     select coalesce((
       select case when l.publishes = 0 and l.publish_after > p_now then 20 end
         from errand.live l where l.held is null and l.state = 3 /* ready */ and l.queue = p_queue and l.lane = o.lane
        order by l.seq offset 19 limit 1), 5000) as most) w
   cross join lateral (
     select l.id, l.seq
       from (select l.id, l.seq, l.publish_after from errand.live l
              where l.held is null and l.state = 3 /* ready */ and l.queue = p_queue and l.lane = o.lane
              order by l.seq limit w.most) l
      where l.publish_after <= p_now
      order by l.seq limit p_limit) f
$$;
