/** One statement has at most this many rows, or this much text. A failing item must not fail the others. */
const mostRows = 500
const mostBytes = 4 * 1_024 * 1_024

/** Cuts `items` into batches, in their order. One item that is larger than the limit goes alone. */
export function splitIntoBatches<T>(items: readonly T[], weigh: (item: T) => number = () => 0): T[][] {
  const batches: T[][] = []
  let batch: T[] = []
  let bytes = 0
  for (const item of items) {
    const size = weigh(item)
    if (batch.length > 0 && (batch.length === mostRows || bytes + size > mostBytes)) {
      batches.push(batch)
      batch = []
      bytes = 0
    }
    batch.push(item)
    bytes += size
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

/**
 * Runs a batch. If some of its items make it fail, runs its halves one after the other, until the culprit is alone.
 * `alone` answers for that one.
 */
export async function halving<T, R>(
  items: readonly T[],
  steps: {
    readonly run: (items: readonly T[], half: boolean) => Promise<readonly R[]>
    readonly isCulprit: (error: unknown) => boolean
    readonly alone: (item: T, error: unknown) => R | Promise<R>
  },
  half = false,
): Promise<readonly R[]> {
  try {
    return await steps.run(items, half)
  } catch (error) {
    if (!steps.isCulprit(error)) throw error
    const [first] = items
    if (items.length === 1 && first !== undefined) return [await steps.alone(first, error)]
    const middle = Math.ceil(items.length / 2)
    return [
      ...(await halving(items.slice(0, middle), steps, true)),
      ...(await halving(items.slice(middle), steps, true)),
    ]
  }
}
