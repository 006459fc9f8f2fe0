import type { JobLog } from '../ports/job-log.ts'
import { tryReadBody } from './body.ts'

const keptMs = 30 * 86_400_000

/** Removes schedules of code that no worker has declared for 30 days. Those that were set at run time stay. */
export async function removeForgotten(log: Pick<JobLog, 'readSchedules' | 'saveSchedules'>): Promise<void> {
  const { now, schedules } = await log.readSchedules()
  const gone = schedules.filter((record) => {
    const { declaredAt = 0 } = tryReadBody(record) ?? { declaredAt: now }
    return record.isDeclared && !record.declarerLives && declaredAt < now - keptMs
  })
  if (gone.length > 0)
    await log.saveSchedules(gone.map(({ name, revision }) => ({ name, after: revision, to: undefined })))
}
