import { isSameJson } from '../json.ts'
import type { ScheduleBody, ScheduleRules } from './body.ts'
import { nextTick } from './next.ts'

/** The first tick after a moment, if it is not after the end. */
export function findNext(
  { times, endMs }: Pick<ScheduleRules, 'times' | 'endMs'>,
  afterMs: number,
): number | undefined {
  const next = nextTick(times, afterMs)
  return next === undefined || next > (endMs ?? Infinity) ? undefined : next
}

/** When a schedule goes on whose rules are replaced. If its times stay, so does its next tick: one that is due is not lost. */
export function findNextUnder(
  rules: ScheduleRules,
  { rules: before, nextAt, lastAt = 0 }: ScheduleBody,
  now: number,
): number | undefined {
  return isSameJson(pickTimes(before), pickTimes(rules)) ? nextAt : findNext(rules, Math.max(lastAt, now))
}

function pickTimes({ times, endMs }: ScheduleRules): object {
  return { times, endMs }
}
