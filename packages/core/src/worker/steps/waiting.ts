import type { Clock } from '../../ports/clock.ts'
import type { Quiet } from './suspension.ts'

/** How handlers wait. */
export interface Waiting {
  readonly quiet: Quiet
  /** A sleep that is no longer is waited in its slot. */
  readonly longestInSlotMs: number
}

/** A run that only waits suspends when nothing has been begun for so long. */
export const suspendAfterMs = 250
/** To suspend and to go on takes a few round trips. */
const longestInSlotMs = 1_000

export function realWaiting(clock: Clock): Waiting {
  return { quiet: (callback) => clock.after(suspendAfterMs, callback), longestInSlotMs }
}
