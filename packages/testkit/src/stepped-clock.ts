import type { Clock } from '@errand/core/ports'

interface Timer {
  dueAt: number
  readonly fire: () => void
  handle: NodeJS.Timeout
}

/** A clock that runs like the real one and can also be moved ahead: leases, delays and retention then run out at once. */
export interface SteppedClock extends Clock {
  /** Moves the time ahead, and runs the timers that have become due. */
  advance(ms: number): void
}

/**
 * For logs that read their time from the context's clock but also need real timers, such as a log that waits for a file lock.
 * @example const clock = steppedClock(); factory.open({ logger, clock }); clock.advance(60_000)
 */
export function steppedClock(): SteppedClock {
  const timers = new Set<Timer>()
  let ahead = 0
  const monotonicMs = (): number => performance.now() + ahead

  const after: Clock['after'] = (delayMs, callback) => {
    const fire = (): void => {
      timers.delete(timer)
      clearTimeout(timer.handle)
      callback()
    }
    const timer: Timer = { dueAt: monotonicMs() + delayMs, fire, handle: setTimeout(fire, delayMs).unref() }
    timers.add(timer)
    return () => {
      timers.delete(timer)
      clearTimeout(timer.handle)
    }
  }

  return {
    now: () => Date.now() + Math.round(ahead),
    monotonicMs,
    after,
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) {
          resolve()
          return
        }
        const wake = (): void => {
          cancel()
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const cancel = after(delayMs, wake)
        signal?.addEventListener('abort', wake, { once: true })
      }),
    advance: (ms) => {
      ahead += ms
      const due = [...timers].filter((timer) => timer.dueAt <= monotonicMs())
      for (const timer of due.toSorted((a, b) => a.dueAt - b.dueAt)) timer.fire()
      for (const timer of timers) {
        clearTimeout(timer.handle)
        timer.handle = setTimeout(timer.fire, Math.max(0, timer.dueAt - monotonicMs())).unref()
      }
    },
  }
}
