/** Time as an argument. Leases and deadlines use `monotonicMs`; only what a person reads uses `now`. */
export interface Clock {
  /** Wall clock, in milliseconds since the epoch. */
  now(): number
  /** A clock that never jumps, in milliseconds from any origin. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`; the returned function cancels it. It does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void
  /** Resolves after `delayMs`, or at once (without an error) when the signal aborts. It does not keep the process alive. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}
