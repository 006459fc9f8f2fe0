import type { ScheduleRules } from './body.ts'
import { nextTick } from './next.ts'

/** The first tick after a moment, if it is not after the end. */
export function findNext({ times, endMs }: ScheduleRules, afterMs: number): number | undefined {
  const next = nextTick(times, afterMs)
  return next === undefined || next > (endMs ?? Infinity) ? undefined : next
}
