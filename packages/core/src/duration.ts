import { ErrandError } from './errors.ts'

/** Milliseconds as a number, or a number with a unit: `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const pattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/** A hundred years: longer waits are a mistake in units, and would overflow the databases' timestamps. */
const longestMs = 100 * 365 * 86_400_000

/**
 * The duration in whole milliseconds.
 * @param what names the option in the error.
 * @throws `E_DURATION` when it is not a duration, negative, or longer than a hundred years.
 * @example durationMs('1.5h', 'delay') // 5_400_000
 */
export function durationMs(duration: Duration, what: string): number {
  const ms = typeof duration === 'number' ? duration : fromText(duration)
  if (!Number.isFinite(ms) || ms < 0 || ms > longestMs) {
    throw new ErrandError(
      'E_DURATION',
      `${what} is ${JSON.stringify(duration)}; use milliseconds, or text such as '500ms', '30s', '5m', '2h' or '7d' (not negative, at most 36500d)`,
    )
  }
  return Math.round(ms)
}

function fromText(text: string): number {
  const match = typeof text === 'string' ? pattern.exec(text) : null
  return match ? Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN) : Number.NaN
}
