import { ErrandError } from '../errors.ts'
import type { JobRecord } from '../ports/history.ts'
import type { JobLog } from '../ports/job-log.ts'

/** @throws `E_NOT_FOUND` */
export async function knownJob(log: JobLog, id: string): Promise<JobRecord> {
  const record = await log.get(id)
  if (record) return record
  throw new ErrandError('E_NOT_FOUND', `there is no job ${id} in this log (was its transaction committed?)`)
}
