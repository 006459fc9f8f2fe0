/**
 * The options of a property that is tried so often. A usual run tries the same cases every time, so what passes here passes
 * elsewhere. `pnpm test:properties` tries many times as many, and others each time.
 */
export function tries(numRuns: number): { readonly numRuns: number; readonly seed?: number } {
  const times = process.env['ERRAND_TEST_TRIES']
  return times === undefined ? { numRuns, seed: 1 } : { numRuns: numRuns * Number(times) }
}
