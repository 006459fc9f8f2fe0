import { ErrandError } from '@errand/core/ports'
import type { LogInfo, MigrationReport } from '@errand/core/ports'
import { isMissingSchema } from './failures.ts'
import { toTransfer } from './rows.ts'
import type { Database, Run } from './database.ts'
import { versioned } from './migrations/rules.ts'
import { createdIn, inSchema } from './sql-files.ts'

const migrationDeadlineMs = 600_000

/** Creates or updates the schema. If ten processes start together, one does it. The others wait and find it done. */
export async function migrate(database: Database, restored: boolean): Promise<MigrationReport> {
  const { schema, release } = database
  return database.transaction(
    async (run) => {
      // A role may have them, and a migration may take long. The second one exists from version 17 on. In one statement, because
      // it counts from the beginning of the transaction.
      await run(`
        select set_config(name, '0', true) from pg_settings where name in ('statement_timeout', 'transaction_timeout')`)
      await run(`select pg_advisory_xact_lock(hashtext('errand migrate'), hashtext($1))`, [schema])
      // Each altering statement gives up soon, because everybody waits behind it.
      await run(`set local lock_timeout = '5s'`)
      const [found] = await run(`select current_setting('server_encoding')`)
      checkEncoding(found?.[0], database.place)
      const from = await prepareLedger(run, schema)
      for (const migration of from < release.version ? release.migrations() : []) {
        if (migration.version <= from) continue
        if (migration.tables !== undefined) await run(inSchema(migration.tables, schema))
        await run(`insert into ${schema}.migrations (version, name, oldest_code) values ($1, $2, $3)`, [
          migration.version,
          migration.name,
          migration.oldestCode,
        ])
      }
      if (from < release.version) await makeRules(run, database)
      if (from <= release.version) await run(`select ${database.rule('ensure_partitions')}(14)`)
      if (restored || (from > 0 && (await isAhead(run, schema)))) await raiseEpoch(run, schema)
      return { from, to: Math.max(from, release.version) }
    },
    { deadlineMs: migrationDeadlineMs },
  )
}

/**
 * Creates the rules of this build. Rules of older builds stay as long as one of them may still work with the schema.
 */
async function makeRules(run: Run, { schema, release }: Database): Promise<void> {
  const rules = release.rules()
  await run(inSchema(versioned(rules, release.version), schema))
  await run(`
    do $$ declare v_rule regprocedure; begin
      for v_rule in
        select p.oid from pg_proc p
         where p.pronamespace = '${schema}'::regnamespace
           and regexp_replace(p.proname, '_v[0-9]+$', '') = any ('{${createdIn(rules, 'function').join(', ')}}')
           and substring(p.proname from '_v([0-9]+)$')::integer < (select max(oldest_code) from ${schema}.migrations)
      loop
        execute format('drop function %s', v_rule);
      end loop;
    end $$`)
}

/** The schema's current version, or 0 without one. */
async function prepareLedger(run: Run, schema: string): Promise<number> {
  const [found] = await run(`select to_regclass($1) is not null`, [`${schema}.migrations`])
  if (found?.[0] !== 't') {
    await refuseShared(run, schema)
    // Looks for it first: to create it needs a right on the database, even if it exists.
    const [there] = await run('select to_regnamespace($1) is not null', [schema])
    if (there?.[0] !== 't') await run(`create schema ${schema}`)
    await run(`
      create table ${schema}.migrations (
        version integer primary key,
        name text not null,
        -- The oldest code that may use the schema after this step.
        oldest_code integer not null,
        applied_at timestamptz not null default clock_timestamp()
      )`)
  }
  const [row] = await run(`select coalesce(max(version), 0) from ${schema}.migrations`)
  return Number(row?.[0])
}

/**
 * A log needs a schema of its own: rights are given on all of it, and dropping the log drops the schema.
 * @throws `E_OPTION`
 */
async function refuseShared(run: Run, schema: string): Promise<void> {
  const rows = await run(
    `select o.name
       from (select c.relname, c.relnamespace from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
             union all select p.proname, p.pronamespace from pg_proc p
             union all select t.typname, t.typnamespace from pg_type t where t.typtype in ('d', 'e')) o (name, schema)
      where o.schema = to_regnamespace($1) order by o.name limit 3`,
    [schema],
  )
  if (rows.length === 0) return
  const names = rows.map(([name]) => name).join(', ')
  throw new ErrandError(
    'E_OPTION',
    `schema ${schema} is in use already (${names}${rows.length === 3 ? ', …' : ''}), and a job log needs one for itself; leave the option schema out (it is errand then), or name another one`,
  )
}

/**
 * After a backup was restored, events that followers have seen may be gone, and their positions given again: a new epoch
 * makes old cursors errors. Restored into another cluster, the transactions of old events may even lie in its future,
 * where no reader would find them: then they all go before its past, still in their order.
 */
async function raiseEpoch(run: Run, schema: string): Promise<void> {
  await run(`update ${schema}.meta set epoch = epoch + 1, timeline = ${schema}.timeline()`)
  await run(`insert into ${schema}.epochs (epoch) select epoch from ${schema}.meta`)
  // These are numbers of the server of the backup.
  await run(`update ${schema}.sweeps set common_tx = null`)
  await run(`update ${schema}.prunes set open = '{}', late_seq = 0`)
  if (!(await isAhead(run, schema))) return
  await run(`update ${schema}.events set tx = '3'`)
  await run(`update ${schema}.meta set dropped_tx = '0', dropped_seq = 0`)
}

/**
 * Events of transactions that this server has not yet given a number to: they were restored from another cluster. What can
 * be seen of its own was numbered before anybody looked.
 */
export const eventsAhead = (schema: string): string =>
  `select coalesce((select tx >= pg_snapshot_xmax(pg_current_snapshot()) from ${schema}.events order by tx desc limit 1), false)`

async function isAhead(run: Run, schema: string): Promise<boolean> {
  const [row] = await run(eventsAhead(schema))
  return row?.[0] === 't'
}

/**
 * Reads what the log is, and whether this code may use its schema.
 * @throws `E_LOG_VERSION`, and `E_LOG` where transactions are not READ COMMITTED by default, or the encoding is not UTF8
 */
export async function inspect(database: Database): Promise<LogInfo> {
  const { schema, place, release } = database
  const row = await database
    .query(
      'errand_inspect',
      `select m.log_id, m.epoch, v.version, v.oldest_code, current_setting('transaction_isolation'),
              m.transfer_revision, m.transfer, current_setting('server_encoding'),
              to_regproc('${database.rule('claim')}') is not null
         from ${schema}.meta m, (select version, oldest_code from ${schema}.migrations order by version desc limit 1) v`,
    )
    .then(([first]) => first)
    .catch((error: unknown) => {
      if (isMissingSchema(error)) return undefined
      throw error
    })
  if (!row)
    throw new ErrandError(
      'E_LOG_VERSION',
      `the database at ${place} has no job log in schema ${schema} yet; run: errand migrate`,
    )
  const [logId, epoch, version, oldestCode, isolation, revision, transfer, encoding, hasRules] = row
  if (Number(version) < release.version)
    throw new ErrandError(
      'E_LOG_VERSION',
      `the job log at ${place} has schema version ${version}, and this code needs ${release.version}; run: errand migrate`,
    )
  // If a newer build created it at once, it never had the rules of this one.
  if (Number(oldestCode) > release.version || hasRules !== 't')
    throw new ErrandError(
      'E_LOG_VERSION',
      `the job log at ${place} has schema version ${version}, which code of version ${Math.max(Number(oldestCode), hasRules === 't' ? 0 : release.version + 1)} and later can use; this one is ${release.version}: update @errand/log-postgres`,
    )
  if (isolation !== 'read committed')
    throw new ErrandError(
      'E_LOG',
      `transactions at ${place} are ${isolation} by default; the job log needs them read committed: alter role … set default_transaction_isolation = 'read committed'`,
    )
  checkEncoding(encoding, place)
  return {
    logId: logId ?? '',
    epoch: Number(epoch),
    schemaVersion: Number(version),
    transfer: toTransfer(revision, transfer),
  }
}

/**
 * With another encoding, one character that the database cannot store would fail everything that is written with it.
 */
function checkEncoding(encoding: string | null | undefined, place: string): void {
  if (encoding === 'UTF8') return
  throw new ErrandError(
    'E_LOG',
    `the database at ${place} stores text as ${encoding}, and the job log needs UTF8; use another one: create database … template template0 encoding 'UTF8'`,
  )
}
