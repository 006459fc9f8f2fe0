import { Chance } from '../simulation/chance.ts'
import type { SoakFault } from './faults.ts'

/** One fault, with everything about it that is random. */
export interface Choice {
  readonly fault: SoakFault
  /** From 0 to 1: which of the processes, or of the ways, it is. */
  readonly which: number
  /** From 0 to 1: from the shortest to the longest that it may last. */
  readonly share: number
  /** How long nothing happens before it. */
  readonly pauseMs: number
}

const longestPauseMs = 4_000

/**
 * Endless faults, the same ones for the same seed, however long each takes. Each fault happens once before any happens
 * again, in a random order.
 */
export function* drawChoices(faults: readonly SoakFault[], seed: number): Generator<Choice, never> {
  const chance = new Chance(seed)
  for (;;) {
    const pack = [...faults]
    while (pack.length > 0) {
      const [fault] = pack.splice(chance.whole(0, pack.length - 1), 1)
      if (fault === undefined) continue
      yield {
        fault,
        which: chance.next(),
        share: chance.next(),
        pauseMs: Math.round(chance.between(0, longestPauseMs)),
      }
    }
  }
}
