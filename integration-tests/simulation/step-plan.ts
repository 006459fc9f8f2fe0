import { Chance } from './chance.ts'

/** One in this many seeds has jobs with steps. */
const [stepsEvery, stepsFrom] = [4, 2]
/** Apart from the other choices of a seed, which stay as they were before there were steps. */
const otherSeeds = 3_000_017

/** A part of a handler that later runs do not repeat. Its name is its place in the plan. */
export type Part =
  | {
      readonly does: 'step'
      readonly ms: number
      /** In this run the step throws. */
      readonly throwsIn: number | undefined
      /** In this run the process dies when the step has acted, before that is stored. */
      readonly diesIn: number | undefined
    }
  | { readonly does: 'sleep'; readonly ms: number }
  | { readonly does: 'receive'; readonly timeoutMs: number }
  | { readonly does: 'call' }
  /** Whatever comes first: a message or the time. */
  | { readonly does: 'race'; readonly ms: number }
  /** Two steps and a wait at a time. */
  | { readonly does: 'together'; readonly ms: number }
  /** Work beside a wait that is no step: it is left behind, and done in a later run. */
  | { readonly does: 'beside'; readonly ms: number }
  /** A step in a transaction of the application, of which the simulation has none. */
  | { readonly does: 'inside' }

export interface StepPayload {
  readonly parts: readonly Part[]
}

export interface PlannedSteps {
  readonly id: string
  readonly atMs: number
  readonly payload: StepPayload
  /** When messages are sent, after the dispatch. */
  readonly messages: readonly { readonly id: string; readonly afterMs: number }[]
}

export function planSteps(seed: number, withinMs: number): readonly PlannedSteps[] {
  if (seed % stepsEvery !== stepsFrom) return []
  const chance = new Chance(seed + otherSeeds)
  const times = <T>(least: number, most: number, make: () => T): T[] =>
    Array.from({ length: chance.whole(least, most) }, make)
  return times(1, 4, () => ({
    id: chance.uuid(),
    atMs: chance.between(0, withinMs * 0.5),
    payload: { parts: times(2, 9, () => drawPart(chance)) },
    messages: times(0, 5, () => ({ id: chance.uuid(), afterMs: chance.between(0, 45_000) })),
  }))
}

export function drawPart(chance: Chance): Part {
  const does = chance.pick([
    'step',
    'step',
    'step',
    'sleep',
    'receive',
    'call',
    'race',
    'race',
    'together',
    'beside',
  ] as const)
  const ms = chance.pick([chance.whole(0, 200), chance.whole(1_100, 9_000)])
  if (does === 'receive') return { does, timeoutMs: chance.whole(1_100, 15_000) }
  if (does === 'call') return { does }
  if (does !== 'step') return { does, ms }
  return {
    does,
    ms: chance.pick([chance.whole(0, 500), chance.whole(0, 500), chance.whole(2_000, 6_000)]),
    throwsIn: chance.happens(0.2) ? chance.whole(1, 3) : undefined,
    diesIn: chance.happens(0.2) ? chance.whole(1, 3) : undefined,
  }
}
