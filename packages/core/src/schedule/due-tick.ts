import { findNext } from './find-next.ts'
import { lastTick, nextTick } from './next.ts'
import type { StoredTimes } from './times.ts'

/** What becomes of ticks whose time passed while nobody could tick: `last` runs the newest of them, `skip` none. */
export type Missed = 'skip' | 'last'

export interface DueTick {
  /** The tick that is due now, in milliseconds since the epoch. Undefined: all that are due were missed. */
  readonly atMs: number | undefined
  /** How many ticks were left out before it. It stops counting at a thousand. */
  readonly leftOut: number
  /** The tick after it, or after those that were left out. Undefined: there is none. */
  readonly nextMs: number | undefined
}

/** A tick is on time for this long, and for its jitter. */
const onTimeMs = 60_000
const mostCounted = 1_000

/**
 * What a schedule has to do now, whose next tick was at `nextMs`. A tick that is on time runs, and so does each of several. Of those
 * that are late, none runs if one that is on time follows: it is the newest.
 * @param endMs no tick is after this moment.
 */
export function findDueTick(
  times: StoredTimes,
  nextMs: number,
  nowMs: number,
  {
    missed,
    jitterMs = 0,
    endMs = Infinity,
  }: { missed: Missed; jitterMs?: number | undefined; endMs?: number | undefined },
): DueTick | undefined {
  if (nextMs > Math.min(nowMs, endMs)) return undefined
  const followed = (atMs: number): number | undefined => findNext({ times, endMs }, atMs)
  const lateMs = nowMs - onTimeMs - jitterMs
  if (nextMs >= lateMs) return { atMs: nextMs, leftOut: 0, nextMs: followed(nextMs) }
  const firstOnTime = followed(lateMs - 1)
  if (firstOnTime !== undefined && firstOnTime <= nowMs)
    return { atMs: firstOnTime, leftOut: count(times, nextMs, firstOnTime), nextMs: followed(firstOnTime) }
  const newest = lastTick(times, nextMs, Math.min(lateMs - 1, endMs)) ?? nextMs
  const leftOut = count(times, nextMs, newest)
  return missed === 'last'
    ? { atMs: newest, leftOut, nextMs: followed(newest) }
    : { atMs: undefined, leftOut: leftOut + 1, nextMs: followed(newest) }
}

/** How many ticks there are from one up to, and without, another. */
function count(times: StoredTimes, fromMs: number, toMs: number): number {
  let counted = 0
  for (let at: number | undefined = fromMs; at !== undefined && at < toMs; at = nextTick(times, at)) {
    counted += 1
    if (counted === mostCounted) break
  }
  return counted
}
