import type { Logger } from '../logging.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { JobLog } from '../ports/job-log.ts'

/** Tells whoever waits that the log may have new events. */
export interface Bell {
  /** Listens until the signal aborts. */
  listen(signal: AbortSignal): Listening
}

interface Listening {
  /** Resolves when something may have happened since the last call, or after `atMostMs`, or when the signal aborts. */
  rung(atMostMs: number): Promise<void>
}

export interface BellDeps {
  readonly log: JobLog
  readonly clock: Clock
  readonly logger: Logger
}

const listenAgainMs = 5_000

/**
 * One listener to the log's wake-ups for the whole instance, for as long as anybody waits: a log may spend a connection
 * on each. A wake-up can be lost, and a log need not have any, so those who wait look again by themselves as well.
 */
export function bellOf({ log, clock, logger }: BellDeps): Bell {
  const ears = new Set<() => void>()
  let stop: AbortController | undefined

  function start(): void {
    stop = new AbortController()
    const { signal } = stop
    void outside(() => hear(signal))
  }
  async function hear(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const _ of log.wakeups(['events'], signal)) for (const ring of ears) ring()
      } catch (error) {
        logger.debug({ err: error }, 'no wake-ups from the job log: looking by time')
      }
      await clock.sleep(listenAgainMs, signal)
    }
  }

  return {
    listen(signal) {
      let pending = false
      let wake: (() => void) | undefined
      const ring = (): void => {
        pending = true
        wake?.()
      }
      ears.add(ring)
      if (ears.size === 1) start()
      const leave = (): void => {
        ring()
        if (ears.delete(ring) && ears.size === 0) stop?.abort()
      }
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
      return {
        async rung(atMostMs) {
          if (!pending) {
            await new Promise<void>((resolve) => {
              const cancel = clock.after(atMostMs, resolve)
              wake = () => {
                cancel()
                resolve()
              }
            })
            wake = undefined
          }
          pending = signal.aborted
        },
      }
    },
  }
}
