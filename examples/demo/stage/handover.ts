import { fromUrl } from '@errand/job-log'
import { systemClock } from '@errand/core/ports'
import type { Logger } from 'errand'

const queue = 'pictures'

/** Jobs that are ready count as overdue: the workers publish their tickets on the broker that they have now. */
export async function expedite(url: string, logger: Logger): Promise<void> {
  const log = fromUrl(url).open({ clock: systemClock, logger })
  try {
    await log.expedite([queue], { limit: 500 })
  } finally {
    await log.close()
  }
}
