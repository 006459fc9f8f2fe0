import { waitFor } from '../wait.ts'
import type { Clock } from './clock.ts'

/** The longest delay of Node's timers (24.8 days). A longer one overflows and fires at once. */
const longestTimerMs = 2 ** 31 - 1

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    if (delayMs > longestTimerMs) return afterLong(delayMs, callback)
    // A moment in the past means now. Node would warn of a negative delay.
    const timer = setTimeout(callback, Math.max(0, delayMs))
    // Only a promise of the public API or a worker keeps the process alive: see `keep-alive.ts`.
    timer.unref()
    return () => clearTimeout(timer)
  },
  sleep: (delayMs, signal) => waitFor<void>(signal, undefined, (wake) => systemClock.after(delayMs, wake)),
}

/** As `after`, in several timers, one after the other. */
function afterLong(...[delayMs, callback]: Parameters<Clock['after']>): () => void {
  let cancel = systemClock.after(longestTimerMs, () => {
    cancel = systemClock.after(delayMs - longestTimerMs, callback)
  })
  return () => cancel()
}
