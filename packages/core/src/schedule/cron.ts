import { Cron } from 'croner'
import { ErrandError } from '../errors.ts'
import { describe } from '../options.ts'

/** Parsing costs more than asking, and a fleet has the same few patterns all day. */
const parsed = new Map<string, Cron>()
const mostParsed = 1_000

/**
 * The pattern, ready to be asked. Fixed times, also lists and ranges of them, keep their days when clocks change: a time that does
 * not exist comes at the first moment after the gap, and one that comes twice comes once. Patterns with `*` or `/` are
 * intervals: what does not exist is left out, and what comes twice comes twice.
 */
export function openCron(cron: string, zone: string): Cron {
  const key = `${zone} ${cron}`
  let found = parsed.get(key)
  if (!found) {
    if (parsed.size >= mostParsed) parsed.clear()
    // croner writes its defaults into the options that it is given.
    found = new Cron(cron, { timezone: zone, fixedTimeRule: 'no-wildcard' })
    parsed.set(key, found)
  }
  return found
}

/**
 * @param what names the schedule in the error.
 * @throws `E_SCHEDULE` unless it is a pattern of five or six fields that some day will meet.
 */
export function checkCron(what: string, cron: unknown, zone: string): string {
  if (typeof cron !== 'string') throw wrong(what, `its cron is ${describe(cron)}`)
  const fields = cron.trim().split(/\s+/)
  if (fields.length !== 5 && fields.length !== 6)
    throw wrong(what, `"${cron}" has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}`)
  const [second = '', ...others] = fields.length === 6 ? fields : ['0', ...fields]
  if (second === '*' || second === '?')
    throw wrong(
      what,
      `"${cron}" has ${second} for its seconds, so it comes every second; for once a minute write "${others.join(' ')}", for every second every: '1s'`,
    )
  const text = fields.join(' ')
  try {
    if (openCron(text, zone).nextRun(new Date(0))) return text
  } catch (error) {
    throw wrong(what, `"${cron}" cannot be read (${(error as Error).message.replace(/^CronPattern: /, '')})`)
  }
  throw new ErrandError('E_SCHEDULE', `${what}: "${cron}" never comes: no month has such a day`)
}

function wrong(what: string, why: string): ErrandError {
  return new ErrandError(
    'E_SCHEDULE',
    `${what}: ${why}; write minute, hour, day, month and day of the week, such as '30 2 * * *' for 02:30 every day, and seconds before them if you need them`,
  )
}
