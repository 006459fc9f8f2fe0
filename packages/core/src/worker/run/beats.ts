import type { Progress } from '../../ports/job-log.ts'

/** What runs need of the heartbeat. */
export interface Beats {
  /** How long the worker's lease still holds, counted from the sending of the last answered beat; 0 when it is out. */
  leaseLeftMs(): number
  /** Goes with the next beat. Numbers rise with each call. */
  progress(progress: Progress, number: number): void
  beatNow(): void
}
