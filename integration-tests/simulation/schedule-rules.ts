import type { ScheduleBody } from '../../packages/core/src/schedule/body.ts'

/** What the guide says of ticks at equal distances, once more, and not from the code under test. */
export interface Rules {
  readonly everyMs: number
  readonly missed: 'last' | 'skip'
  /** So long after its moment a tick is on time. */
  readonly onTimeMs: number
}

export interface Decision {
  /** The tick that runs, if one does. */
  readonly atMs: number | undefined
  /** How many were missed. */
  readonly leftOut: number
  readonly nextMs: number
}

const onTimeMs = 60_000
const mostCounted = 1_000

export function readRules({ rules: { times, missed, jitterMs } }: ScheduleBody): Rules {
  if (times.kind !== 'every') throw new Error(`a schedule of the simulation is of kind ${times.kind}`)
  return { everyMs: times.everyMs, missed, onTimeMs: onTimeMs + jitterMs }
}

/** The first tick after a moment. */
export function findNext({ everyMs }: Rules, afterMs: number): number {
  return afterMs - (afterMs % everyMs) + everyMs
}

/** What is to be done at `nowMs` with the ticks from `nextMs` on. Undefined: none is due. */
export function decide(rules: Rules, nextMs: number, nowMs: number): Decision | undefined {
  const { everyMs, missed } = rules
  let late = 0
  for (let atMs = nextMs; atMs <= nowMs; atMs += everyMs) {
    const leftOut = Math.min(late, mostCounted)
    if (nowMs - atMs <= rules.onTimeMs) return { atMs, leftOut, nextMs: atMs + everyMs }
    late += 1
    if (atMs + everyMs > nowMs) {
      return missed === 'last'
        ? { atMs, leftOut, nextMs: atMs + everyMs }
        : { atMs: undefined, leftOut: leftOut + 1, nextMs: atMs + everyMs }
    }
  }
  return undefined
}
