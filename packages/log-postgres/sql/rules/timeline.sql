-- A promoted standby continues on a new timeline from what it has replayed. It gives the numbers of lost transactions again,
-- to other ones. A reader that has seen the lost ones must not continue by these numbers. So the log notes each change of the
-- timeline as a new epoch, and up to where it equals the epoch before.

-- The place of the newest event, for callers that ask where to start following and may not read all events.
create function errand.newest() returns table (tx xid8, seq bigint) language sql stable
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
  select e.tx, e.seq from errand.events e order by e.tx desc, e.seq desc limit 1
$$;

create function errand.note_timeline() returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_epoch integer;
  v_timeline integer;
begin
  if pg_is_in_recovery() then return; end if;
  select m.epoch, m.timeline into v_epoch, v_timeline from errand.meta m for update;
  if v_timeline = errand.timeline() then return; end if;
  insert into errand.epochs (epoch, common_written, common_tx)
  values (v_epoch + 1,
          -- The server keeps until its next start where replay ended. Two cases do not count: crash recovery, which has
          -- replayed no commit with a time, and an earlier switch that was not noted, because it ended elsewhere.
          case when errand.timeline() = v_timeline + 1 and pg_last_xact_replay_timestamp() is not null
               then pg_last_wal_replay_lsn() - '0/0'::pg_lsn end,
          (select w.common_tx from errand.sweeps w));
  update errand.meta set epoch = v_epoch + 1, timeline = errand.timeline();
end $$;
