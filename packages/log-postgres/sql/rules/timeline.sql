-- A promoted standby goes on from what it had replayed, on a timeline of its own, and gives the numbers of transactions
-- that it lost once more. Whoever has read those must not go on by numbers. So the log notes each change of the timeline
-- as a new epoch, with what it has in common with the one before.

-- The place of the newest event; for those who ask from where to follow, and may not read them all.
create function errand.newest() returns table (tx xid8, seq bigint) language sql stable
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off set jit to off as $$
  select e.tx, e.seq from errand.events e order by e.tx desc, e.seq desc limit 1
$$;

create function errand.note_timeline() returns void language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off set jit to off as $$
declare
  v_epoch integer;
  v_timeline integer;
begin
  if pg_is_in_recovery() then return; end if;
  select m.epoch, m.timeline into v_epoch, v_timeline from errand.meta m for update;
  if v_timeline = errand.timeline() then return; end if;
  insert into errand.epochs (epoch, common_written, common_tx)
  values (v_epoch + 1,
          -- Where replay ended, which stands until the next start. After recovery from a crash it is another place: that
          -- one replays no time of a commit. And a switch that nobody noted in between ended elsewhere.
          case when errand.timeline() = v_timeline + 1 and pg_last_xact_replay_timestamp() is not null
               then pg_last_wal_replay_lsn() - '0/0'::pg_lsn end,
          (select w.common_tx from errand.sweeps w));
  update errand.meta set epoch = v_epoch + 1, timeline = errand.timeline();
end $$;
