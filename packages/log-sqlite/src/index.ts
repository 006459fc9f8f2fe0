import type { LogFactory } from '@errand/core/ports'
import { sqlite } from './sqlite.ts'

export { sqlite }
export type { SqliteOptions } from './sqlite.ts'

/**
 * The job log of a URL. Core calls this if `ERRAND_LOG`, or `log` in the configuration, is a URL of SQLite. Errors:
 * `E_URL`, `E_OPTION`.
 */
export function fromUrl(url: string): LogFactory {
  return sqlite(url)
}
