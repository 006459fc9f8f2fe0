import { constants } from 'node:os'
import type { Shutdown } from './shutdown.ts'

export interface SignalParts {
  /** The first signal: take no more, drain. Never rejects. */
  readonly stop: () => Promise<Shutdown>
  /** The second one: abort at once. */
  readonly hurry: () => void
  readonly log: (signal: string, message: string) => void
}

const handled = ['SIGTERM', 'SIGINT'] as const

/** How long the application may take to close what it opened, after the worker has stopped. */
const exitAfterMs = 1_000

/**
 * Stops a worker by signals: the first drains, the second aborts what runs. Then the process ends: 0 after a drain in
 * order, 128 and the signal's number after a second signal, 1 after a failure. Returns what stops listening.
 */
export function onSignals(parts: SignalParts): () => void {
  let first: string | undefined
  let second: number | undefined
  const listen = (signal: (typeof handled)[number]): void => {
    if (first !== undefined) {
      second = 128 + constants.signals[signal]
      parts.log(signal, 'asked to stop again: running jobs are aborted now')
      return parts.hurry()
    }
    first = signal
    parts.log(signal, 'asked to stop: it takes no more jobs and lets the running ones finish')
    void parts.stop().then(({ failed, deaf }): void => {
      stopListening()
      const code = second ?? (failed ? 1 : 0)
      // Jobs whose handlers ignored every signal have been given back: they must not go on here beside their next run.
      if (deaf > 0) process.exit(code)
      return exitAfter(code)
    })
  }
  const stopListening = (): void => {
    for (const signal of handled) process.off(signal, listen)
  }
  for (const signal of handled) process.on(signal, listen)
  return stopListening
}

/** Ends the process when nothing keeps it alive, or after a second. */
export function exitAfter(code: number): void {
  process.exitCode = code
  setTimeout(() => process.exit(code), exitAfterMs).unref()
}
