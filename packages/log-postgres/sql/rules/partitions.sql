-- Partitions of events: one per day (UTC), made ahead by workers and operators. If none was made, events go to a default one.

-- Creates tables and attaches them. Creating them as partitions would lock out all readers of the history for that time.
create function errand.ensure_partitions(p_days integer) returns void language plpgsql
set search_path to pg_catalog, pg_temp set lock_timeout to '1s' as $$
declare
  v_day date := (errand.clock() at time zone 'UTC')::date;
  -- At most 100: a worker may call this, and each partition is a table.
  v_last date := v_day + least(coalesce(p_days, 0), 100);
  v_name text;
begin
  if not pg_try_advisory_xact_lock(hashtext('errand partitions'), hashtext('errand')) then return; end if;
  while v_day <= v_last loop
    v_name := 'events_' || to_char(v_day, 'YYYYMMDD');
    if to_regclass(format('errand.%I', v_name)) is null then
      begin
        execute format('create table errand.%I (like errand.events including defaults including storage)', v_name);
        execute format('alter table errand.%I replica identity full', v_name);
        execute format('alter table errand.events attach partition errand.%I for values from (%L) to (%L)',
          v_name, v_day || ' 00:00:00+00', (v_day + 1) || ' 00:00:00+00');
      exception when check_violation then
        -- Events of this day lie in the default partition already, and the rest of it follows them.
        null;
      end;
    end if;
    v_day := v_day + 1;
  end loop;
  update errand.sweeps set partitions_until = v_last where partitions_until < v_last;
end $$;

-- Drops whole days that ended before the moment given, and notes their newest position first.
create function errand.drop_events(p_before timestamptz, p_limit integer) returns integer language plpgsql
set search_path to pg_catalog, pg_temp set lock_timeout to '1s' as $$
declare
  v_part record;
  v_tx xid8;
  v_seq bigint;
  v_gone integer;
begin
  for v_part in
    select c.relname as name
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'errand.events'::regclass
       and c.relname ~ '^events_[0-9]{8}$'
       and (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC' <= p_before
     order by c.relname
  loop
    perform errand.keep_ends(p_before);
    v_tx := null;
    execute format('select tx, seq from errand.%I order by tx desc, seq desc limit 1', v_part.name) into v_tx, v_seq;
    if v_tx is not null then
      update errand.meta set dropped_tx = v_tx, dropped_seq = v_seq
       where (dropped_tx, dropped_seq) < (v_tx, v_seq);
    end if;
    execute format('drop table errand.%I', v_part.name);
  end loop;

  perform errand.keep_ends(p_before) where exists (select from errand.events_default where at < p_before);
  -- Events in the default partition are deleted row by row.
  with old as materialized (
    select tx, seq from errand.events_default where at < p_before order by tx, seq limit p_limit),
  gone as (
    delete from errand.events_default e using old where e.tx = old.tx and e.seq = old.seq returning e.tx, e.seq),
  noted as (
    update errand.meta m set dropped_tx = n.tx, dropped_seq = n.seq
      from (select tx, seq from gone order by tx desc, seq desc limit 1) n
     where (m.dropped_tx, m.dropped_seq) < (n.tx, n.seq))
  select count(*) into v_gone from gone;
  return v_gone;
end $$;

-- Before the events of these times go: what members returned whose flow an unfinished job needs, to read their results.
create function errand.keep_ends(p_before timestamptz) returns void language plpgsql set search_path to pg_catalog, pg_temp as $$
declare
  v_ids uuid[];
begin
  select array_agg(x.id) into v_ids
    from (select distinct n.parent as id
            from errand.needs n
           where n.is_flow and n.name is not null
             and exists (select from errand.live l where l.id = any (array[n.child]) and l.state <> 6 /* failed */)) f
    join errand.members m on m.flow = f.id
   cross join lateral unnest(m.ids) as u (id)
    join errand.ended x on x.id = u.id
   where x.at < p_before and not exists (select from errand.kept_ends k where k.job_id = x.id);
  if v_ids is null then return; end if;
  insert into errand.kept_ends (job_id, codec, body)
  select e.id, e.codec, e.body from errand.ends_of(v_ids) e
  on conflict do nothing;
end $$;
