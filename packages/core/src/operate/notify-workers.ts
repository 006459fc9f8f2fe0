import type { JobLog } from '../ports/job-log.ts'

/** Workers that run a cancelled job beat at once, and abort it. */
export async function notifyWorkers(log: JobLog, workers: readonly string[]): Promise<void> {
  if (workers.length > 0) await log.notify(workers.map((id) => `worker:${id}` as const))
}
