import type { Logger } from '../logging.ts'
import { outside } from '../outside.ts'
import type { Clock } from '../ports/clock.ts'
import type { JobLog } from '../ports/job-log.ts'
import { WakeupListener } from './wakeup-listener.ts'

/** Tells waiters that the log may have new events. */
export interface EventWakeups {
  /** Listens until the signal aborts. */
  listen(signal: AbortSignal): WakeupListener
}

export interface EventWakeupsDeps {
  readonly log: JobLog
  readonly clock: Clock
  readonly logger: Logger
}

const listenAgainMs = 5_000

/**
 * One listener to the log's wake-ups for the whole instance, while there are waiters, because a log may need a connection for
 * each listener. A wake-up can be lost, and some logs have none, so waiters also poll.
 */
export function createEventWakeups({ log, clock, logger }: EventWakeupsDeps): EventWakeups {
  const listeners = new Set<WakeupListener>()
  let stop: AbortController | undefined

  function start(): void {
    stop = new AbortController()
    const { signal } = stop
    void outside(() => hear(signal))
  }
  async function hear(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const _ of log.wakeups(['events'], signal))
          for (const listener of listeners) listener.wake()
      } catch (error) {
        logger.debug({ err: error }, 'no wake-ups from the job log: polling')
      }
      await clock.sleep(listenAgainMs, signal)
    }
  }

  return {
    listen(signal) {
      const listener = new WakeupListener(clock, signal)
      listeners.add(listener)
      if (listeners.size === 1) start()
      const leave = (): void => {
        listener.wake()
        if (listeners.delete(listener) && listeners.size === 0) stop?.abort()
      }
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
      return listener
    },
  }
}
