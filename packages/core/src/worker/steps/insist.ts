import { isErrandError } from '../../errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { backoffMs } from '../../supervise.ts'

const retryMinMs = 50
const retryMaxMs = 5_000

/** Asks again while the log is away, until the run is over. @throws what the log throws otherwise */
export async function insist<T>(ask: () => Promise<T>, clock: Clock, isOver: () => boolean): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask()
    } catch (error) {
      const isAway = isErrandError(error, 'E_LOG_UNREACHABLE') || isErrandError(error, 'E_DISPATCH_UNKNOWN')
      if (!isAway || isOver()) throw error
      await clock.sleep(Math.round(backoffMs(failures, retryMinMs, retryMaxMs)))
    }
  }
}
