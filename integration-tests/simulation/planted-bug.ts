export interface Edit {
  /** In `packages/`. */
  readonly file: string
  /** A text that is there exactly once. */
  readonly find: string
  readonly replace: string
}

export interface PlantedBug {
  readonly name: string
  /** What is wrong with the changed code, for people. */
  readonly what: string
  /** Invariants that break: the simulation must find one of these. */
  readonly breaks: readonly string[]
  readonly edits: readonly Edit[]
}

export function bug(
  name: string,
  what: string,
  breaks: readonly string[],
  file: string,
  find: string,
  replace: string,
): PlantedBug {
  return { name, what, breaks, edits: [{ file, find, replace }] }
}
