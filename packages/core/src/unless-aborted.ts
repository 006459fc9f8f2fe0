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
  const over = Promise.withResolvers<Aborted>()
  const end = (): void => over.resolve((async () => aborted())())
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  try {
    return await Promise.race([work, over.promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}
