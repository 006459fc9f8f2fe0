import type { LogFactory } from '@errand/core/ports'
import { postgres } from './postgres.ts'

export { postgres }
export type { PostgresOptions } from './postgres.ts'

/**
 * The job log of a URL. Core calls this if `ERRAND_LOG`, or `log` in the configuration, is a URL of PostgreSQL. The URL
 * may carry the log's own options: `?schema=jobs&poolSize=20&migrate=true&listen=false&preparedStatements=false`.
 * Errors: `E_URL`, `E_OPTION`.
 */
export function fromUrl(url: string): LogFactory {
  return postgres(url)
}
