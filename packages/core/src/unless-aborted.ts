import { race } from './race.ts'

/**
 * Waits for `work`, and ends as it does; once the signal aborts, as `aborted` does, which may throw. The work itself goes
 * on, and its end no longer matters.
 */
export async function unlessAborted<T, Aborted>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  aborted: () => Aborted,
): Promise<T | Aborted> {
  if (!signal) return work
  return race(work, aborted, (end) => {
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    return () => signal.removeEventListener('abort', end)
  })
}
