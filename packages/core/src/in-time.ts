import type { Clock } from './ports/clock.ts'
import { race } from './race.ts'

/**
 * Waits for `work` at most so long, and ends as it does; after that as `late` does, which may throw. The work itself goes
 * on, and how it ends then is nobody's business.
 */
export function inTime<T, Late>(
  work: Promise<T>,
  ms: number,
  clock: Clock,
  late: () => Late,
): Promise<T | Late> {
  return race(work, late, (end) => clock.after(ms, end))
}
