import type { Progress } from '../../ports/job-log.ts'

/** What runs need from the heartbeat. */
export interface Beats {
  /**
   * How long the worker's lease still holds, counted from when the last answered beat was sent. 0 when it has run out.
   */
  leaseLeftMs(): number
  /** Sends it with the next beat. Numbers rise with each call. */
  progress(progress: Progress, number: number): void
  beatNow(): void
}
