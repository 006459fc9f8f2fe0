import type { Clock } from './clock.ts'

/** Node's timers overflow past it (24.8 days) and fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback, options = {}) {
    let timer: NodeJS.Timeout
    const arm = (leftMs: number): void => {
      const next = leftMs > longestTimerMs ? (): void => arm(leftMs - longestTimerMs) : callback
      // A moment that is past already is now; Node would warn of a negative delay.
      timer = setTimeout(next, Math.max(0, Math.min(leftMs, longestTimerMs)))
      if (options.unref) timer.unref()
    }
    arm(delayMs)
    return () => clearTimeout(timer)
  },
  sleep(delayMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const finish = (): void => {
        cancel()
        signal?.removeEventListener('abort', finish)
        resolve()
      }
      const cancel = systemClock.after(delayMs, finish)
      signal?.addEventListener('abort', finish)
    })
  },
}
