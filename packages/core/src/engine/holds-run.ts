import type { Fence, WorkerRef } from '../job/claim.ts'
import type { JobRow } from './store.ts'

/** Whether the job is this run of this worker: only then what the run wants to store counts. */
export function holdsRun(row: JobRow, fence: Fence, by: WorkerRef): boolean {
  return row.state === 'running' && row.run === fence.run && row.worker === by.id
}
