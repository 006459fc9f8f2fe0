/**
 * Waits until `resolve` is called, or until the signal aborts. Where it has aborted already, nothing is begun.
 * @param whenAborted what to resolve with then.
 * @param begin keeps `resolve` where the news comes in. What it returns is called once, when the wait is over.
 * @example
 * await waitFor(signal, undefined, (wake) => {
 *   waiting.add(wake)
 *   return () => waiting.delete(wake)
 * })
 */
export function waitFor<T>(
  signal: AbortSignal | undefined,
  whenAborted: T,
  begin: (resolve: (value: T) => void) => (() => unknown) | undefined,
): Promise<T> {
  if (signal?.aborted) return Promise.resolve(whenAborted)
  return new Promise((resolve) => {
    let end: (() => unknown) | undefined
    let isOver = false
    const finish = (value: T): void => {
      if (isOver) return
      isOver = true
      signal?.removeEventListener('abort', abort)
      end?.()
      resolve(value)
    }
    const abort = (): void => finish(whenAborted)
    signal?.addEventListener('abort', abort)
    end = begin(finish)
    // The news may have come while it began.
    if (isOver) end?.()
  })
}

/** Resolves when the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return waitFor(signal, undefined, () => undefined)
}
