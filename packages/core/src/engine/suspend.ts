import type { Advanced } from './advance.ts'
import type { JobRow, JobStore } from './store.ts'

/** A suspended job may go on, because something that it called has ended. */
export function resumeCaller(_store: JobStore, _now: number, _row: JobRow, _publishAfter: number): Advanced {
  return 'waits'
}
