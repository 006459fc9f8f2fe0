import type { Logger } from './logging.ts'
import type { Clock } from './ports/clock.ts'

/** Anywhere from half of `ms` to one and a half: many processes that began together drift apart. */
export function jittered(ms: number, random: () => number = Math.random): number {
  return ms * (0.5 + random())
}

/** The wait before the next try: doubles from `minMs` with each failure in a row, up to `maxMs`; half of it is chance. */
export function backoffMs(
  failures: number,
  minMs: number,
  maxMs: number,
  random: () => number = Math.random,
): number {
  const wait = Math.min(maxMs, minMs * 2 ** Math.max(0, failures - 1))
  return wait * (0.5 + random() / 2)
}

/** What a loop has met, and when it is tried again. */
export interface Trouble {
  readonly error: unknown
  /** In a row. */
  readonly failures: number
  readonly waitMs: number
}

export interface Supervision {
  /** For the log: `the relay`, `the subscription of queue media`. */
  readonly what: string
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly logger: Logger
  readonly minMs: number
  readonly maxMs: number
  /** Told instead of the log, where somebody says for many loops together what they meet. */
  readonly failed?: ((trouble: Trouble) => void) | undefined
}

/**
 * Runs a loop's body over and over until the signal aborts. What it throws is logged and tried again after a jittered
 * backoff, so that no fault of a background loop becomes an unhandled rejection, a tight loop, or a loop that is gone.
 * The backoff starts over once the body has held for `maxMs`, or has called `healthy`.
 */
export async function supervised(
  body: (healthy: () => void) => Promise<void>,
  { what, signal, clock, logger, minMs, maxMs, failed }: Supervision,
): Promise<void> {
  let failures = 0
  const healthy = (): void => {
    failures = 0
  }
  while (!signal.aborted) {
    const began = clock.monotonicMs()
    try {
      await body(healthy)
    } catch (error) {
      if (signal.aborted) return
      if (clock.monotonicMs() - began > maxMs) failures = 0
      failures += 1
      const waitMs = Math.round(backoffMs(failures, minMs, maxMs))
      if (failed) failed({ error, failures, waitMs })
      else logger.warn({ err: error, failures, waitMs }, `${what} failed; it is tried again`)
      await clock.sleep(waitMs, signal)
    }
  }
}
