import type { LogFactory } from '@errand/core/ports'
import { sqlite } from './sqlite.ts'

export { sqlite }
export type { SqliteOptions } from './sqlite.ts'

/** The job log of a URL: what core calls when `ERRAND_LOG`, or `log` in the configuration, is one. Errors: `E_URL`, `E_OPTION`. */
export function fromUrl(url: string): LogFactory {
  return sqlite(url)
}
