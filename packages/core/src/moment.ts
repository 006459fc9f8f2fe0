import { ErrandError } from './errors.ts'
import { describe } from './options.ts'

/** The years 1 to 9999: what every log can store and compare. */
const [earliestMs, latestMs] = [-62_135_596_800_000, 253_402_300_799_999]

/**
 * A moment in milliseconds since the epoch, one that every log can hold.
 * @param what names it in the error.
 * @throws `E_OPTION`
 */
export function momentMs(what: string, date: unknown): number {
  const ms = date instanceof Date ? date.getTime() : Number.NaN
  if (!Number.isFinite(ms))
    throw new ErrandError('E_OPTION', `${what} is ${describe(date)}; use a valid Date`)
  if (isMoment(ms)) return ms
  throw new ErrandError(
    'E_OPTION',
    `${what} is ${new Date(ms).toISOString()}; a log keeps moments of the years 1 to 9999`,
  )
}

/** Whether it is a moment that every log can hold, in milliseconds since the epoch. */
export function isMoment(ms: unknown): boolean {
  return typeof ms === 'number' && ms >= earliestMs && ms <= latestMs
}
