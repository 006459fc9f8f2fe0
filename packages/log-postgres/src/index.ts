import type { LogFactory } from '@errand/core/ports'
import { postgres } from './postgres.ts'

export { postgres }
export type { PostgresOptions } from './postgres.ts'

/**
 * The job log of a URL: what core calls when `ERRAND_LOG`, or `log` in the configuration, is one. It may carry the log's own
 * options: `?schema=jobs&poolSize=20&migrate=true&listen=false&preparedStatements=false`.
 * Errors: `E_URL`, `E_OPTION`.
 */
export function fromUrl(url: string): LogFactory {
  return postgres(url)
}
