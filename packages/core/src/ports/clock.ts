/** Time as an argument. Leases and deadlines use `monotonicMs`; only what a person reads uses `now`. */
export interface Clock {
  /** Wall clock, in milliseconds since the epoch. */
  now(): number
  /** A clock that never jumps, in milliseconds from any origin. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`; the returned function cancels it. A timer never keeps the process alive by itself when `unref` is true. */
  after(delayMs: number, callback: () => void, options?: { readonly unref?: boolean | undefined }): () => void
  /** Resolves after `delayMs`, or at once (without an error) when the signal aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}
