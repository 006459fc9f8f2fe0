import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'

/** Milliseconds to wait after the given attempt (1 for the first) has failed. */
export type Backoff = (attempt: number) => number

/** The same wait every time. @example backoff: fixed('30s') */
export function fixed(delay: Duration): Backoff {
  const ms = durationMs(delay, 'fixed(delay)')
  return () => ms
}

/** `base`, 2 × `base`, 3 × `base`, … up to `max` (default 15 min). @example backoff: linear('10s', { max: '5m' }) */
export function linear(base: Duration, options: { readonly max?: Duration | undefined } = {}): Backoff {
  const ms = durationMs(base, 'linear(base)')
  const max = durationMs(options.max ?? '15m', 'linear({ max })')
  return (attempt) => Math.min(ms * attempt, max)
}

export interface ExponentialOptions {
  /** The longest wait. Default 15 minutes. */
  readonly max?: Duration | undefined
  /** The factor from one wait to the next. Default 2; at least 1. */
  readonly factor?: number | undefined
  /** `full` (default): a random time from 0 to the wait, which spreads retries best; `none`: exactly the wait. */
  readonly jitter?: 'full' | 'none' | undefined
  /** A source of numbers from 0 to 1. Default Math.random. */
  readonly random?: (() => number) | undefined
}

/**
 * `base`, `base` × `factor`, `base` × `factor`², … up to `max`, with full jitter.
 * Full jitter as in "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 * @throws `E_OPTION` when factor is below 1. @example backoff: exponential('1s', { max: '10m' })
 */
export function exponential(base: Duration, options: ExponentialOptions = {}): Backoff {
  const ms = durationMs(base, 'exponential(base)')
  const max = durationMs(options.max ?? '15m', 'exponential({ max })')
  const factor = options.factor ?? 2
  if (!(factor >= 1))
    throw new ErrandError(
      'E_OPTION',
      `exponential({ factor: ${factor} }) would shrink the wait; use 1 or more`,
    )
  const random = options.random ?? Math.random
  return (attempt) => {
    const wait = Math.min(max, ms * factor ** (attempt - 1))
    return options.jitter === 'none' ? wait : Math.round(wait * random())
  }
}

/** The waits one after another; the last one repeats. @example backoff: list(['1s', '1m', '1h']) */
export function list(delays: readonly Duration[]): Backoff {
  const waits = delays.map((delay, index) => durationMs(delay, `list()[${index}]`))
  if (waits.length === 0) throw new ErrandError('E_OPTION', 'list([]) has no wait; give at least one')
  return (attempt) => waits[Math.min(attempt, waits.length) - 1] ?? 0
}
