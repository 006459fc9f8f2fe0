const mostFirst = 2 ** 30

/** The first one is by chance: who knows a row that was removed must not take the next one of its name for it. */
export function nextRevision(after: number): number {
  return after === 0 ? 1 + Math.floor(Math.random() * mostFirst) : after + 1
}
