import type { Finally } from '../fleet/scene.ts'

/** What the command gives to whatever runs in it. */
export interface Run {
  /** A line of progress, for people. */
  readonly say: (line: string) => void
  readonly atTheEnd: Finally
  /** Aborts before anything is stopped: what ends from then on was meant to. */
  readonly ending: AbortSignal
}
