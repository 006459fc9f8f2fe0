import type { WorkerRecord } from '../ports/operations.ts'

/** A worker, for people. */
export function nameOf({ label, id, host, pid }: WorkerRecord): string {
  return `worker ${label ?? id} on ${host} (pid ${pid})`
}
