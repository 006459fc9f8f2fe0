/**
 * Acts after so many milliseconds, once what has arrived by then was read: behind a handler that has kept the event loop to
 * itself the timer is late as well, and comes before an answer that has long been there. Answers how to call it off.
 */
export function whenRead(ms: number, act: () => void): () => void {
  let reading: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    reading = setImmediate(act)
  }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(reading)
  }
}
