import { ErrandError } from '@errand/core/ports'
import type { LogFactory } from '@errand/core/ports'
import { postgres } from './postgres/postgres.ts'
import { sqlite } from './sqlite/sqlite.ts'

/**
 * The job log of a URL: what core calls when `ERRAND_LOG`, or `log` in the configuration, is one. A URL of PostgreSQL may
 * carry the log's own options: `?schema=jobs&poolSize=20&migrate=true&listen=false&preparedStatements=false`.
 * Errors: `E_URL`, `E_OPTION`.
 */
export function fromUrl(url: string): LogFactory {
  if (url.startsWith('sqlite:')) return sqlite(url)
  if (/^postgres(ql)?:/.test(url)) return postgres(url)
  throw new ErrandError('E_URL', `a job log is postgres://… or sqlite:…, not ${url.split(':')[0]}:…`)
}
