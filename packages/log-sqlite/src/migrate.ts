import { ErrandError } from '@errand/core/ports'
import type { LogInfo } from '@errand/core/ports'
import { migrations, schemaVersion } from './schema.ts'
import { parseTransfer } from './rows.ts'
import type { Statements } from './statements.ts'

interface Version {
  readonly schema: number
  readonly oldestCode: number
}

function readVersion(sql: Statements): Version {
  const exists = sql.one(`select 1 as one from sqlite_master where type = 'table' and name = 'errand_log'`)
  if (!exists) return { schema: 0, oldestCode: 0 }
  const row = sql.one('select schema_version, oldest_code from errand_log')
  return { schema: Number(row?.schema_version), oldestCode: Number(row?.oldest_code) }
}

/** Whether the schema is older than this code and must be migrated before use. Refuses a schema that is too new. */
export function needsMigration(sql: Statements, file: string): boolean {
  const version = readVersion(sql)
  if (version.oldestCode > schemaVersion) {
    throw new ErrandError(
      'E_LOG_VERSION',
      `${file} has schema version ${version.schema}, which needs code of version ${version.oldestCode} or newer; this is version ${schemaVersion}: update @errand/log-sqlite`,
    )
  }
  return version.schema < schemaVersion
}

/** Refuses while another worker is at work. On one machine, it is simpler to restart all than to mix versions. */
export function refuseWhileLive(sql: Statements, file: string, now: number): void {
  if (readVersion(sql).schema === 0) return
  const worker = sql.one('select id, pid from errand_workers where lease_until > ? limit 1', now)
  if (worker) {
    throw new ErrandError(
      'E_LOG_VERSION',
      `${file} has an older schema, and worker ${worker.id} (pid ${worker.pid}) is using it; stop the workers, then start again`,
    )
  }
}

/** Runs every missing step, in the caller's write transaction. */
export function migrate(sql: Statements): { from: number; to: number } {
  const { schema: from } = readVersion(sql)
  for (const step of migrations.filter((migration) => migration.version > from)) {
    for (const statement of step.statements) sql.run(statement)
    sql.run('update errand_log set schema_version = ?, oldest_code = ?', step.version, step.oldestCode)
  }
  return { from, to: readVersion(sql).schema }
}

export function logInfo(sql: Statements): LogInfo {
  const row = sql.one('select log_id, epoch, schema_version, transfer from errand_log')
  return {
    logId: String(row?.log_id),
    epoch: Number(row?.epoch),
    schemaVersion: Number(row?.schema_version),
    transfer: parseTransfer(row?.transfer),
  }
}
