/**
 * Waits for `work`, and ends as it does. If what `begin` watches ends the wait first, ends as `instead` does, which may throw.
 * The work itself goes on then, and how it ends no longer matters.
 * @param begin calls `end` to end the wait, and returns what stops watching
 */
export async function race<T, Instead>(
  work: Promise<T>,
  instead: () => Instead,
  begin: (end: () => void) => () => void,
): Promise<T | Instead> {
  const over = Promise.withResolvers<Instead>()
  const stop = begin(() => over.resolve((async () => instead())()))
  try {
    return await Promise.race([work, over.promise])
  } finally {
    stop()
  }
}
