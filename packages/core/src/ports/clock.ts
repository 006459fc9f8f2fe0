/** The source of time. Leases and deadlines use `monotonicMs`. Use `now` only for times that people read. */
export interface Clock {
  /** Wall clock, in milliseconds since the epoch. */
  now(): number
  /** A clock that never jumps, in milliseconds from an arbitrary origin. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`. The returned function cancels it. It does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void
  /** Resolves after `delayMs`, or at once (without an error) when the signal aborts. It does not keep the process alive. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}
