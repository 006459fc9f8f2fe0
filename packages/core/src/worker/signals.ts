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

/**
 * Ctrl-C in a terminal reaches every process of its group, and a runner such as npm passes it on. Two signals so close
 * are one. With `--watch` two processes pass it on, one after the other, which takes a busy machine over 300 ms.
 */
const sameSignalMs = 1_000

/** Time for the application to close what it opened, after its last worker has stopped. */
const exitAfterMs = 1_000

/** Workers of this process that listen to signals. The process ends with the last of them. */
const listening = new Set<SignalParts>()

/**
 * Stops a worker by signals. The first one drains. A second one, more than a second later, aborts what runs. The process
 * ends when the last worker has stopped: with 0 after a drain, with 128 plus the signal's number after a second signal,
 * with 1 after a failure. Returns a function that stops listening.
 */
export function onSignals(parts: SignalParts): () => void {
  let firstMs: number | undefined
  let second: number | undefined
  const listen = (signal: (typeof handled)[number]): void => {
    const now = performance.now()
    if (firstMs !== undefined) {
      if (now - firstMs < sameSignalMs) return
      second = 128 + constants.signals[signal]
      parts.log(signal, 'asked to stop again: running jobs are aborted now')
      return parts.hurry()
    }
    firstMs = now
    parts.log(signal, 'asked to stop: it takes no more jobs and lets the running ones finish')
    void parts.stop().then(({ failed, deaf }): void => {
      stopListening()
      return exit(second ?? (failed ? 1 : 0), deaf > 0)
    })
  }
  const stopListening = (): void => {
    listening.delete(parts)
    for (const signal of handled) process.off(signal, listen)
  }
  listening.add(parts)
  for (const signal of handled) process.on(signal, listen)
  return stopListening
}

let worstCode = 0
let mustNotLiveOn = false

/**
 * Ends the process, if its last worker has stopped.
 * @param deaf jobs whose handlers ignored every signal. They have been given back, so their code must not go on beside
 * the next run.
 */
export function exit(code: number, deaf: boolean): void {
  worstCode = Math.max(worstCode, code)
  mustNotLiveOn ||= deaf
  if (listening.size > 0) return
  process.exitCode = worstCode
  if (mustNotLiveOn) process.exit(worstCode)
  setTimeout(() => process.exit(worstCode), exitAfterMs).unref()
}
