import type { Clock } from '../ports/clock.ts'
import { systemClock } from '../ports/system-clock.ts'
import { backoffMs } from '../supervise.ts'
import { unlessAborted } from '../unless-aborted.ts'

/** The longest pause between two tries. */
const longestPauseMs = 5_000

export interface RepeatOptions {
  /** How often the call is made in all. */
  readonly tries: number
  /** The first pause. Each next one is twice as long, up to 5 s; half of each is random. Default 0: no pauses. */
  readonly pauseMs?: number | undefined
  /** Whether the same call may succeed a moment later. */
  readonly isPassing: (error: unknown) => boolean
  /** Ends the pauses; after it no call is made. */
  readonly signal?: AbortSignal | undefined
  readonly clock?: Clock | undefined
}

/**
 * Makes the call, and repeats it while it fails for reasons that pass: at most `tries` calls in all.
 * @throws what the last try threw.
 * @example await repeat(() => client.send(batch), { tries: 4, pauseMs: 100, isPassing: (error) => isThrottled(error) })
 */
export async function repeat<T>(
  call: () => Promise<T>,
  { tries, pauseMs = 0, isPassing, signal, clock = systemClock }: RepeatOptions,
): Promise<T> {
  for (let made = 1; ; made += 1) {
    try {
      return await call()
    } catch (error) {
      if (made >= tries || signal?.aborted || !isPassing(error)) throw error
    }
    if (pauseMs > 0) await clock.sleep(backoffMs(made, pauseMs, longestPauseMs), signal)
    signal?.throwIfAborted()
  }
}

export interface DeadlineOptions {
  /** Each of them ends the call as well. */
  readonly signals?: readonly AbortSignal[] | undefined
  /** Default: the machine's clock. A broker's time goes on when a test stops the log's clock. */
  readonly clock?: Clock | undefined
}

/**
 * Makes the call with a deadline. The call gets a signal that aborts at the deadline, or with one of `signals`. Does not
 * wait for a call that ignores the signal.
 * @throws a `TimeoutError` at the deadline, or the reason of the signal that aborted.
 */
export async function withDeadline<T>(
  ms: number,
  call: (signal: AbortSignal) => Promise<T>,
  { signals = [], clock = systemClock }: DeadlineOptions = {},
): Promise<T> {
  const controller = new AbortController()
  const { signal } = controller
  const late = Object.assign(new Error(`no answer within ${ms / 1_000} s`), { name: 'TimeoutError' })
  const stop = clock.after(ms, () => controller.abort(late))
  // Not AbortSignal.any: a signal that lives as long as the process would collect one signal for each call.
  const abort = (): void => controller.abort(signals.find(({ aborted }) => aborted)?.reason)
  for (const each of signals) each.addEventListener('abort', abort)
  if (signals.some(({ aborted }) => aborted)) abort()
  try {
    signal.throwIfAborted()
    const aborted = (): never => {
      throw signal.reason
    }
    return await unlessAborted(call(signal), signal, aborted)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    stop()
    for (const each of signals) each.removeEventListener('abort', abort)
  }
}
