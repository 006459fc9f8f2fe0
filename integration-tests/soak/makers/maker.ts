import type { Choice } from '../choices.ts'
import type { Fleet } from '../../fleet/fleet.ts'

/** Makes a fault, ends it, and waits until the fleet has recovered. */
export type Maker = (fleet: Fleet, choice: Choice) => Promise<void>

/** A time between the shortest and the longest, by the choice's share. */
export function between(shortestMs: number, longestMs: number, { share }: Choice): number {
  return Math.round(shortestMs + share * (longestMs - shortestMs))
}

/** For servers that a place has wherever its fault can happen. */
export function present<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('this fault was made where it cannot happen')
  return part
}
