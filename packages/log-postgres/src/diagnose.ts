import type { Diagnosis } from '@errand/core/ports'
import { stateCode } from './codes.ts'
import type { Database, Row } from './database.ts'
import { eventsAhead } from './migrate.ts'

type Finding = Diagnosis['findings'][number]

/** Keys that wait behind a failed job are counted up to this number. */
const mostKeys = 1_000

const severities = ['error', 'warning', 'info'] as const

/** Facts for `doctor`: what makes this log slow or late, or hides something. Never on a hot path. */
export async function diagnose(database: Database): Promise<Diagnosis> {
  const { schema } = database
  const ask = (text: string): Promise<readonly Row[]> => database.query('', text)
  const [snapshots, prepared, sweeps, stray, dead, keys, unidentified, [ahead]] = await Promise.all([
    ask(`select a.pid, coalesce(a.application_name, ''), extract(epoch from clock_timestamp() - a.xact_start)::integer
           from pg_stat_activity a
          where a.xact_start < clock_timestamp() - interval '5 minutes' and a.backend_type = 'client backend'
          order by a.xact_start limit 5`),
    ask(`select count(*), extract(epoch from clock_timestamp() - min(prepared))::integer from pg_prepared_xacts
          having count(*) > 0`),
    ask(`select extract(epoch from ${schema}.clock() - w.last_at)::integer, w.partitions_until - (${schema}.clock() at time zone 'UTC')::date,
                (select l.run_at from ${schema}.live l where l.run_at is not null order by l.run_at limit 1) is not null or exists (select from ${schema}.runs)
           from ${schema}.sweeps w`),
    ask(`select count(*) from (select from ${schema}.events_default limit 1) e having count(*) > 0`),
    ask(`select n_dead_tup from pg_stat_all_tables
          where relid = '${schema}.live'::regclass and n_dead_tup > 100000 and n_dead_tup > 10 * n_live_tup`),
    ask(`select count(*) from (select from ${schema}.live where held = ${stateCode.failed} order by queue, seq limit ${mostKeys}) f
          having count(*) > 0`),
    ask(unidentifiedTables(schema)),
    ask(eventsAhead(schema)),
  ])
  const findings: Finding[] = []
  const add = (severity: Finding['severity'], code: string, message: string): void => {
    findings.push({ severity, code, message })
  }
  if (ahead?.[0] === 't')
    add(
      'error',
      'restored',
      'events have transaction numbers that this server has not given yet: the log was restored from another cluster, and followers read old events late, behind new ones; run: errand migrate --restored',
    )
  for (const [pid, name, seconds] of snapshots)
    add(
      'warning',
      'old-snapshot',
      `connection ${pid} (${name === '' ? 'unnamed' : name}) has had a transaction open for ${seconds} s: vacuum keeps dead rows because of it, and events are read late`,
    )
  for (const [count, seconds] of prepared)
    add(
      'warning',
      'prepared-transaction',
      `${count} prepared transactions wait, the oldest for ${seconds} s; commit or roll them back`,
    )
  for (const [since, days, waiting] of sweeps) {
    if (waiting === 't' && (since === null || Number(since) > 60))
      add(
        'error',
        'no-sweep',
        `no relay has swept ${since == null ? 'yet' : `for ${since} s`}: delayed and lost jobs wait; is a worker running?`,
      )
    if (Number(days) < 2)
      add(
        'warning',
        'partitions',
        'the events of the day after tomorrow have no partition; run: errand migrate',
      )
  }
  if (stray.length > 0)
    add(
      'warning',
      'default-partition',
      'events lie in the default partition, because no partition was there for their day',
    )
  for (const [count] of dead)
    add(
      'warning',
      'dead-rows',
      `the table of live jobs holds ${count} dead rows: vacuum does not keep up, or an old snapshot holds it`,
    )
  for (const [count] of keys)
    add(
      'info',
      'blocked-keys',
      `${Number(count) === mostKeys ? `at least ${mostKeys}` : count} ordering keys wait behind a job that failed for good; replay or skip it`,
    )
  for (const [table, publication] of unidentified)
    add(
      'error',
      'replica-identity',
      `table ${table} is published by ${publication} without a replica identity, so no row can be deleted or changed in it, and errand prune fails; run: alter table ${table} replica identity full`,
    )
  return {
    findings: findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity)),
  }
}

/**
 * Tables of the log that a publication takes changes from, and that have nothing to name the changed row by: PostgreSQL
 * refuses those changes. A partition may be published under its own name or as its parent; what counts is its own identity.
 */
function unidentifiedTables(schema: string): string {
  return `
    select c.oid::regclass::text, min(p.pubname)
      from pg_publication_tables t
      join pg_publication p on p.pubname = t.pubname
     cross join lateral (select format('%I.%I', t.schemaname, t.tablename)::regclass as oid) named
      -- What is no partition and has none has no tree.
      left join lateral pg_partition_tree(named.oid) leaf on leaf.isleaf
      join pg_class c on c.oid = coalesce(leaf.relid, named.oid)
     where t.schemaname = '${schema.slice(1, -1)}' and (p.pubdelete or p.pubupdate)
       and not case c.relreplident
         when 'f' then true
         when 'n' then false
         else exists (
           select from pg_index i
            where i.indrelid = c.oid and i.indisvalid
              and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end)
       end
     group by c.oid order by 1 limit 20`
}
