import type { Clock } from '../ports/clock.ts'
import { waitFor } from '../wait.ts'

/** A clock that stands still until it is moved. */
export interface VirtualClock extends Clock {
  /** Moves time forward, running every timer on its way in order, with what those start. */
  advance(ms: number): Promise<void>
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/**
 * Makes a clock for tests.
 * @param start ms since the epoch; default 2026-01-01.
 * @example const clock = virtualClock(); await clock.advance(60_000)
 */
export function virtualClock(start: number = Date.UTC(2026, 0, 1)): VirtualClock {
  let now = start
  let order = 0
  const timers = new Set<Timer>()
  const after: Clock['after'] = (delayMs, callback) => {
    const timer: Timer = { at: now + Math.max(0, delayMs), order: ++order, run: callback }
    timers.add(timer)
    return () => timers.delete(timer)
  }
  return {
    now: () => now,
    monotonicMs: () => now - start,
    after,
    sleep: (delayMs, signal) => waitFor<void>(signal, undefined, (wake) => after(delayMs, wake)),
    async advance(ms) {
      const end = now + ms
      await settled()
      for (;;) {
        const next = [...timers]
          .filter((timer) => timer.at <= end)
          .toSorted((a, b) => a.at - b.at || a.order - b.order)[0]
        if (!next) break
        timers.delete(next)
        now = Math.max(now, next.at)
        next.run()
        await settled()
      }
      now = end
      await settled()
    },
  }
}

/** Lets promise chains run to their end: a few turns of the event loop, no time. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
}
