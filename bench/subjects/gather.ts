/** Natural batching, as small as it can be: one call at a time, and the next carries what came during it. */
export function gather<T>(most: number, send: (items: readonly T[]) => unknown): (item: T) => Promise<void> {
  const waiting: { readonly item: T; readonly done: PromiseWithResolvers<void> }[] = []
  let sending = false
  const pump = async (): Promise<void> => {
    sending = true
    // Callers of the same turn join this call.
    await Promise.resolve()
    while (waiting.length > 0) {
      const batch = waiting.splice(0, most)
      try {
        await send(batch.map(({ item }) => item))
        for (const { done } of batch) done.resolve()
      } catch (error) {
        for (const { done } of batch) done.reject(error)
      }
    }
    sending = false
  }
  return (item) => {
    const done = Promise.withResolvers<void>()
    waiting.push({ item, done })
    if (!sending) void pump()
    return done.promise
  }
}
