import { ErrandError } from '../errors.ts'
import { describe } from '../options.ts'

/**
 * A zone as the IANA list writes it.
 * @param what names the schedule in the error.
 * @throws `E_SCHEDULE`, with the right name where only the case is wrong.
 */
export function checkZone(what: string, zone: unknown): string {
  if (zone === undefined) return 'UTC'
  const found = typeof zone === 'string' ? resolve(zone) : undefined
  if (typeof zone !== 'string' || found === undefined)
    throw new ErrandError(
      'E_SCHEDULE',
      `${what}: this Node knows no zone ${describe(zone)}; use a name such as 'Europe/Berlin' or 'UTC'`,
    )
  if (found !== zone && found.toLowerCase() === zone.toLowerCase())
    throw new ErrandError('E_SCHEDULE', `${what}: the zone "${zone}" is written "${found}"`)
  return zone
}

/** The name that Node uses for it. Node takes any case, other programs that read the schedule may not. */
function resolve(zone: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone
  } catch {
    return undefined
  }
}
