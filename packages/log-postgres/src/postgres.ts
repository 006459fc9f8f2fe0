import { threadModule } from '@errand/core/ports'
import type { LogFactory } from '@errand/core/ports'
import { openPostgresLog } from './log.ts'
import { resolveOptions } from './options.ts'
import type { PostgresOptions } from './options.ts'

export type { PostgresOptions } from './options.ts'

/**
 * The job log on PostgreSQL 14 or later, for a fleet. Its tables are in a schema of their own, `errand` by default, which
 * `errand migrate` makes (or the option `migrate`). Errors: `E_URL`, `E_OPTION`; on first use `E_LOG_UNREACHABLE`,
 * `E_LOG_VERSION`.
 * @example createErrand({ log: postgres('postgres://app@localhost:5432/shop') })
 * @example postgres({ url, schema: 'jobs', poolSize: 20, listen: false, preparedStatements: false }) // behind PgBouncer
 */
export function postgres(options: string | PostgresOptions): LogFactory {
  const resolved = resolveOptions(options)
  return {
    errand: 'job-log',
    name: 'postgres',
    open: (context) => openPostgresLog(resolved, context),
    heartbeat: {
      module: threadModule('heartbeat', import.meta.url),
      data: resolved,
    },
  }
}
