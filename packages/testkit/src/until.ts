export interface UntilOptions {
  /** What is waited for, for the error. */
  readonly what?: string | undefined
  /** Gives up after so many milliseconds. Default 10,000. */
  readonly withinMs?: number | undefined
  /** Between two looks. Default: 5 ms of real time. */
  readonly pause?: (() => Promise<void>) | undefined
}

/**
 * Waits on a condition: looks again and again until the answer is neither undefined, null nor false, and resolves with
 * it. Tests wait like this and never for a fixed time, which is too short on a slow machine and too long on every other.
 * @throws an Error that names `what` when it does not come true in time.
 * @example const job = await until(async () => (await log.get(id))?.state === 'ready', { what: 'the job is ready' })
 */
export async function until<T>(
  look: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, undefined | null | false | void>> {
  const pause = options.pause ?? (() => realPause(5))
  const givesUpAt = performance.now() + (options.withinMs ?? 10_000)
  for (;;) {
    const answer = await look()
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as Exclude<T, undefined | null | false | void>
    }
    if (performance.now() > givesUpAt) {
      throw new Error(`waited ${options.withinMs ?? 10_000} ms in vain: ${options.what ?? String(look)}`)
    }
    await pause()
  }
}

/** Real milliseconds, whatever clock the subject of the test has. */
export function realPause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
