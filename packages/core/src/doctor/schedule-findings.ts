import type { JobLog } from '../ports/job-log.ts'
import type { ScheduleRecord } from '../ports/schedules.ts'
import { tryReadBody } from '../schedule/body.ts'
import type { Finding } from './finding.ts'

/** A tick that no worker has dispatched for so long has nobody who does it. */
const lateMs = 60_000

export async function scheduleFindings(log: JobLog): Promise<readonly Finding[]> {
  const { now, schedules } = await log.readSchedules()
  return schedules.flatMap((record) => findTrouble(record, now) ?? [])
}

function findTrouble(record: ScheduleRecord, now: number): Finding | undefined {
  const { name, job, isDeclared, declarerLives, dueAt } = record
  const body = tryReadBody(record)
  if (!body) {
    const message = `the row of schedule ${name} cannot be read, so it does not tick; remove it (errand schedules remove ${name})`
    return { severity: 'error', code: 'schedule-unreadable', message }
  }
  const { trouble, pausedBy } = body
  if (trouble) {
    const message = `the last tick of schedule ${name} was left out: ${trouble.error}`
    return { severity: 'error', code: 'schedule-failing', message }
  }
  if (pausedBy !== undefined)
    return { severity: 'info', code: 'schedule-paused', message: `schedule ${name} is paused by ${pausedBy}` }
  if (isDeclared && !declarerLives) {
    const message = `schedule ${name} does not tick: no live worker declares it any more`
    return { severity: 'info', code: 'schedule-dormant', message }
  }
  // A trigger is due at once, and its row says when it was asked for.
  const since = dueAt === 0 ? body.triggerAt : dueAt
  if (since !== undefined && since < now - lateMs) {
    const who = isDeclared ? 'its workers do not sweep' : `no live worker handles ${job}`
    const message = `schedule ${name} has been due for ${Math.round((now - since) / 1_000)} s: ${who}`
    return { severity: 'error', code: 'schedule-late', message }
  }
  return undefined
}
