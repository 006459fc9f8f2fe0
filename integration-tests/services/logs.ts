import type { LogFactory } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { sqlite } from '@errand/log-sqlite'

/** The job log of a URL of a test, without the search for its package. */
export function logFromUrl(url: string): LogFactory {
  return url.startsWith('sqlite:') ? sqlite(url) : postgres(url)
}
