import { durationMs } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { momentMs } from '../moment.ts'
import { checkCron } from './cron.ts'
import type { ScheduleTimes, StoredTimes } from './times.ts'
import { checkZone } from './zone.ts'

const shortestMs = 1_000

/**
 * The times of a schedule, checked and ready to be stored.
 * @param what names the schedule in errors.
 * @throws `E_SCHEDULE` for times that cannot be read or never come, `E_DURATION`, `E_OPTION` for a moment that is none
 */
export function checkTimes(what: string, times: ScheduleTimes): StoredTimes {
  const { cron, zone, every, from, at } = times as Partial<
    Record<'cron' | 'zone' | 'every' | 'from' | 'at', unknown>
  >
  const given = [cron, every, at].filter((each) => each !== undefined)
  if (given.length !== 1)
    throw new ErrandError(
      'E_SCHEDULE',
      `${what} has ${given.length === 0 ? 'no times' : 'more than one kind of times'}; give one of cron: '30 2 * * *', every: '15m' and at: new Date(…)`,
    )
  if (zone !== undefined && cron === undefined)
    throw new ErrandError('E_SCHEDULE', `${what} has a zone, which only a cron has; leave it out`)
  if (from !== undefined && every === undefined)
    throw new ErrandError('E_SCHEDULE', `${what} has a from, which only every has; leave it out`)
  if (cron !== undefined) {
    const place = checkZone(what, zone)
    return { kind: 'cron', cron: checkCron(what, cron, place), zone: place }
  }
  if (at !== undefined) return { kind: 'once', atMs: momentMs(`${what}: at`, at) }
  const everyMs = durationMs(every as number, `${what}: every`)
  if (everyMs < shortestMs)
    throw new ErrandError('E_SCHEDULE', `${what} comes every ${everyMs} ms; a second is the shortest`)
  return { kind: 'every', everyMs, fromMs: from === undefined ? 0 : momentMs(`${what}: from`, from) }
}
