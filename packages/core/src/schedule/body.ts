import { ErrandError } from '../errors.ts'
import { isMoment } from '../moment.ts'
import type { Encoded } from '../ports/codec.ts'
import type { ScheduleRecord, ScheduleState } from '../ports/schedules.ts'
import type { Missed } from './due-tick.ts'
import type { StoredTimes } from './times.ts'

/** What becomes of a tick whose predecessor's job has not ended: `allow` dispatches it all the same, `skip` leaves it out. */
export type Overlap = 'allow' | 'skip'

/** What decides when a schedule ticks. */
export interface ScheduleRules {
  readonly times: StoredTimes
  readonly missed: Missed
  readonly overlap: Overlap
  readonly jitterMs: number
  /** No tick is after this moment. */
  readonly endMs?: number | undefined
}

/** What somebody did to a schedule. */
export interface Act {
  readonly what: 'set' | 'paused' | 'resumed' | 'triggered'
  readonly by: string
  readonly reason?: string | undefined
  /** Ms since the epoch. */
  readonly at: number
}

/** All that a log keeps of a schedule without reading it. Times are ms since the epoch, by the log's clock. */
export interface ScheduleBody {
  /** New when the schedule is created. Its ticks' ids follow from it. */
  readonly uid: string
  readonly rules: ScheduleRules
  readonly nextAt?: number | undefined
  readonly lastAt?: number | undefined
  /** The job of the last tick or trigger that had one. */
  readonly lastJob?: string | undefined
  /** Ticks that were missed, that met their predecessor, or that failed. */
  readonly leftOut: number
  readonly pausedBy?: string | undefined
  /** How often it was triggered, when the last time, and how many of these were dispatched. */
  readonly triggers: number
  readonly triggerAt?: number | undefined
  readonly triggered: number
  /** Why the last tick could not be dispatched. */
  readonly trouble?: { readonly at: number; readonly error: string } | undefined
  /** When the worker that declared it last said so, and when that worker started. */
  readonly declaredAt?: number | undefined
  readonly declarerStartedAt?: number | undefined
  /** Of a schedule that was set at run time. */
  readonly payload?: Encoded | undefined
  /** The newest ones, oldest first. */
  readonly acts: readonly Act[]
}

const mostActs = 20

/** Undefined if another program has written something else. */
export function tryReadBody({ body }: Pick<ScheduleRecord, 'body'>): ScheduleBody | undefined {
  try {
    const parsed = JSON.parse(body) as ScheduleBody
    return hasShape(parsed) ? parsed : undefined
  } catch {
    // It is no JSON, or a part is missing.
    return undefined
  }
}

/** What a newer release may write in its place, such as another `overlap`, is not looked at. */
function hasShape(body: ScheduleBody): boolean {
  const { uid, rules, nextAt, lastAt, triggerAt, trouble, acts } = body
  const { leftOut, triggers, triggered } = body
  return (
    typeof uid === 'string' &&
    areTimes(rules.times) &&
    [rules.jitterMs, leftOut, triggers, triggered].every(Number.isFinite) &&
    [rules.endMs, nextAt, lastAt, triggerAt, trouble?.at].every((at) => at === undefined || isMoment(at)) &&
    acts.every(({ at }) => isMoment(at))
  )
}

function areTimes(times: StoredTimes): boolean {
  switch (times.kind) {
    case 'cron':
      return typeof times.cron === 'string' && typeof times.zone === 'string'
    case 'every':
      return times.everyMs > 0 && isMoment(times.fromMs)
    case 'once':
      return isMoment(times.atMs)
    default:
      times satisfies never
      return false
  }
}

/** @throws `E_LOG` if another program has written something else. */
export function readBody(record: Pick<ScheduleRecord, 'name' | 'body'>): ScheduleBody {
  const body = tryReadBody(record)
  if (body) return body
  throw new ErrandError(
    'E_LOG',
    `the row of schedule "${record.name}" cannot be read: another program has changed it; remove it, and set or declare it again`,
  )
}

/** The row with a new body. What a newer release has added to the body stays. */
export function writeBody(row: Omit<ScheduleState, 'dueAt' | 'body'>, body: ScheduleBody): ScheduleState {
  const { job, isDeclared, declaredBy } = row
  return { job, isDeclared, declaredBy, dueAt: findDueAt(body), body: JSON.stringify(body) }
}

function findDueAt({ triggers, triggered, pausedBy, nextAt }: ScheduleBody): number | undefined {
  if (triggers > triggered) return 0
  return pausedBy === undefined ? nextAt : undefined
}

export function addAct(body: ScheduleBody, act: Act): ScheduleBody {
  return { ...body, acts: [...body.acts, act].slice(-mostActs) }
}

export function createBody(uid: string, rules: ScheduleRules): ScheduleBody {
  return { uid, rules, leftOut: 0, triggers: 0, triggered: 0, acts: [] }
}

/** What a stored payload of a schedule belongs to. */
export function asSchedulePayload(uid: string, name: string): { readonly job: string; readonly as: string } {
  return { job: uid, as: `payload of schedule ${name}` }
}
