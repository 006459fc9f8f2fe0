import type { Clock } from './ports/clock.ts'

/**
 * Waits for `work` at most so long, and ends as it does; after that as `late` does, which may throw. The work itself goes
 * on, and how it ends then is nobody's business.
 */
export async function inTime<T, Late>(
  work: Promise<T>,
  ms: number,
  clock: Clock,
  late: () => Late,
): Promise<T | Late> {
  const over = Promise.withResolvers<Late>()
  const stop = clock.after(ms, () => over.resolve((async () => late())()))
  try {
    return await Promise.race([work, over.promise])
  } finally {
    stop()
  }
}
