import type { JobLog } from '../ports/job-log.ts'
import { mostAtLimitCounted } from '../ports/limits.ts'
import type { Closing, LimitRecord } from '../ports/limits.ts'
import type { Backlog } from '../ports/operations.ts'
import type { Finding } from './finding.ts'

const dayMs = 86_400_000
/** A closing may be meant to last. One that does not end today may have been forgotten, or may be a slip. */
const longClosingMs = dayMs
const keysLookedAt = 100
const jobsLookedAt = 100

export async function limitFindings(log: JobLog, queues: readonly Backlog[]): Promise<readonly Finding[]> {
  const { now, limits } = await log.readLimits()
  const ofEach = await Promise.all(
    limits.map(async (limit) => [
      ...undeclared(limit),
      ...closedForLong(limit.name, undefined, limit.closed, now),
      ...(await keysClosedForLong(log, limit.name, now)),
    ]),
  )
  return [...ofEach.flat(), ...(await heldByPaused(log, limits, queues))]
}

function undeclared(limit: LimitRecord): Finding[] {
  const { name, values, waiting } = limit
  if (values || waiting === 0) return []
  const message = `${jobsWait(limit)} for limit ${name}, which no worker has declared: start a worker that handles them, or cancel them if the limit's name in the code has changed`
  return [{ severity: 'error', code: 'limit-undeclared', message }]
}

async function keysClosedForLong(log: JobLog, name: string, now: number): Promise<Finding[]> {
  const keys = await log.readLimitKeys(name, { closed: true, limit: keysLookedAt })
  return keys.flatMap(({ key, closed }) => closedForLong(name, key, closed, now))
}

function closedForLong(
  name: string,
  key: string | undefined,
  closed: Closing | undefined,
  now: number,
): Finding[] {
  if (!closed || closed.until - now <= longClosingMs) return []
  const { by, reason } = closed
  const what = key === undefined ? `limit ${name}` : `key ${JSON.stringify(key)} of limit ${name}`
  const why = reason === undefined ? '' : ` (${reason})`
  const days = Math.floor((closed.until - now) / dayMs)
  const ofKey = key === undefined ? '' : ` --key ${JSON.stringify(key)}`
  const message = `${what} is closed for ${days} more ${days === 1 ? 'day' : 'days'} by ${by}${why}: nothing of it starts; errand limits open ${name}${ofKey} ends that`
  return [{ severity: 'warning', code: 'limit-closed', message }]
}

/** Places that nobody gives up before the queue is resumed. Looks at some ready jobs of each paused queue. */
async function heldByPaused(
  log: JobLog,
  limits: readonly LimitRecord[],
  queues: readonly Backlog[],
): Promise<Finding[]> {
  const lacking = limits.filter(({ ready, waiting }) => ready > 0 && waiting > 0)
  if (lacking.length === 0) return []
  const paused = queues.filter((queue) => queue.paused && queue.ready > 0).map(({ name }) => name)
  const ofEach = await Promise.all(
    paused.map(async (queue) => {
      const jobs = await log.list({ queue, state: 'ready' }, { limit: jobsLookedAt })
      return lacking.flatMap((limit): Finding[] => {
        const held = jobs.filter((job) => job.limit?.name === limit.name).length
        if (held === 0) return []
        const least = jobs.length < jobsLookedAt ? '' : 'at least '
        const places = `${least}${held} ${held === 1 ? 'place' : 'places'}`
        const message = `ready jobs of queue ${queue}, which is paused, hold ${places} of limit ${limit.name}, and ${jobsWait(limit)} for the limit: resume the queue, or give its jobs a limit of their own`
        return [{ severity: 'warning', code: 'limit-held', queue, message }]
      })
    }),
  )
  return ofEach.flat()
}

function jobsWait({ waiting }: LimitRecord): string {
  if (waiting === 1) return '1 job waits'
  return `${waiting < mostAtLimitCounted ? waiting : `at least ${waiting}`} jobs wait`
}
