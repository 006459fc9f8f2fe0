import { scaleLimit } from './slowness.ts'

export interface UntilOptions {
  /** Names in the error what is waited for. */
  readonly what?: string | undefined
  /** Gives up after this many milliseconds on a quiet machine; a busy one gets more (`scaleLimit`). Default 10,000. */
  readonly withinMs?: number | undefined
  /** The pause between two looks. Default: 5 ms of real time. */
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
  const since = performance.now()
  let limitMs = options.withinMs ?? 10_000
  let hasMeasured = false
  for (;;) {
    const answer = await look()
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as Exclude<T, undefined | null | false | void>
    }
    if (performance.now() - since > limitMs) {
      if (hasMeasured) throw new Error(`waited ${limitMs} ms in vain: ${options.what ?? String(look)}`)
      // Most waits end long before this: only a wait that is about to fail measures how slow the machine is.
      limitMs = scaleLimit(limitMs)
      hasMeasured = true
    }
    await pause()
  }
}

/**
 * Waits until the check no longer throws; when time is up, it throws what the check threw last. Limits as in `until`.
 * @example await eventually(() => expect(seen).toHaveLength(3))
 */
export async function eventually(check: () => unknown, options: UntilOptions = {}): Promise<void> {
  let last: unknown
  const passes = async (): Promise<boolean> => {
    try {
      await check()
      return true
    } catch (error) {
      last = error
      return false
    }
  }
  await until(passes, options).catch((error: unknown) => {
    throw last ?? error
  })
}

/** Real milliseconds, whatever clock the subject of the test has. */
export function realPause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
