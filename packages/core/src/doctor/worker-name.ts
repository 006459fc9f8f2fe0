import type { WorkerRecord } from '../ports/operations.ts'

/** A worker, for people. */
export function describeWorker({ label, id, host, pid }: WorkerRecord): string {
  return `worker ${label ?? id} on ${host} (pid ${pid})`
}
