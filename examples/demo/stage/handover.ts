import { postgres } from '@errand/log-postgres'
import { sqlite } from '@errand/log-sqlite'
import { systemClock } from '@errand/core/ports'
import type { Logger } from 'errand'

const queue = 'pictures'

/** Jobs that are ready count as overdue: the workers publish their tickets on the broker that they have now. */
export async function expedite(url: string, logger: Logger): Promise<void> {
  const log = (url.startsWith('sqlite:') ? sqlite(url) : postgres(url)).open({ clock: systemClock, logger })
  try {
    await log.expedite([queue], { limit: 500 })
  } finally {
    await log.close()
  }
}
