/**
 * Calls `act` after `ms`, but first lets answers be read that have arrived. Behind a handler that blocks the event
 * loop, the timer is late as well, and would run before an answer that came long ago. Returns a function that cancels
 * it.
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
