import type { Finally } from '../fleet/scene.ts'

/** What the command gives to the code that it runs. */
export interface Run {
  /** A line of progress, for people. */
  readonly say: (line: string) => void
  readonly atTheEnd: Finally
  /** Aborts before anything is stopped: ends of processes are intended from then on. */
  readonly ending: AbortSignal
}
