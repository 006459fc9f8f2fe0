import type { JobDefinition, JobOptions } from './job.ts'
import { resolvedJob } from './job.ts'
import type { AnyJob } from './job.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { momentMs } from '../moment.ts'
import { checkScheduleName } from '../names.ts'
import { checkOneOf, checkOptions, describe } from '../options.ts'
import type { Overlap, ScheduleRules } from '../schedule/body.ts'
import { checkTimes } from '../schedule/check-times.ts'
import type { Missed } from '../schedule/due-tick.ts'
import type { ScheduleTimes } from '../schedule/times.ts'

/** One moment of a schedule, as its handler gets it in `ctx.tick`. */
export interface Tick {
  /** The name of the schedule. */
  readonly schedule: string
  /** Its moment, whatever its jitter, and however late it runs. */
  readonly at: Date
  /** The moment of the tick before. */
  readonly previous: Date | undefined
  /** How many ticks were missed between the two. It stops counting at a thousand. */
  readonly missed: number
}

/** How a schedule ticks. */
export type ScheduleOptions = ScheduleTimes & {
  /**
   * What becomes of ticks that are more than a minute late, because no worker was there: `'last'` (default) runs the newest of
   * them, `'skip'` none.
   */
  readonly missed?: Missed | undefined
  /** If the job of the last tick has not ended: `'allow'` (default) dispatches the next one all the same, `'skip'` leaves it out. */
  readonly overlap?: Overlap | undefined
  /** Each tick runs up to this much later, by chance: the same in every process. Default 0. */
  readonly jitter?: Duration | undefined
  /** No tick is after this moment. Default: no end. */
  readonly until?: Date | undefined
}

/** What a tick's dispatch may say. */
export type TickOptions = Omit<JobOptions, 'id' | 'delay' | 'at'>

type PayloadOf<In> = [In] extends [void]
  ? { readonly payload?: undefined }
  : { readonly payload: NoInfer<In> | ((tick: Tick) => NoInfer<In>) }

/** A schedule in code: made by `defineSchedule`. */
export interface ScheduleDefinition {
  readonly name: string
  readonly job: AnyJob
}

/** A schedule with every default applied, checked. */
export interface ResolvedSchedule {
  readonly name: string
  readonly job: AnyJob
  readonly payload: unknown
  readonly options: TickOptions | undefined
  readonly rules: ScheduleRules
}

// Registered, as in define/job.ts.
const resolvedKey: unique symbol = Symbol.for('@errand/core:schedule') as never

export const scheduleOptionNames = [
  'cron',
  'zone',
  'every',
  'from',
  'at',
  'missed',
  'overlap',
  'jitter',
  'until',
] as const
const optionNames: readonly string[] = [...scheduleOptionNames, 'name', 'job', 'payload', 'options']

/**
 * Defines a schedule: a job that is dispatched again and again. The workers that list it in `schedules` dispatch it, each tick once,
 * however many they are.
 *
 * Exactly one of `cron` (with `zone`, default `UTC`), `every` (at least a second, counted from `from`) and `at` (once). A job with a
 * payload needs one: a value, or a function of the tick.
 *
 * @throws `E_SCHEDULE` for times that cannot be read or never come, `E_NAME`, `E_DURATION`, `E_OPTION`
 * @example
 * export const closeDays = defineSchedule({
 *   name: 'billing.close-day',
 *   job: closeDay,
 *   cron: '30 2 * * *',
 *   zone: 'Europe/Berlin',
 *   payload: (tick) => ({ day: tick.at.toISOString().slice(0, 10) }),
 *   overlap: 'skip',
 * })
 */
export function defineSchedule<In>(
  schedule: {
    /** Letters, digits and `. _ : / -`, at most 128. The log keeps the schedule by it. */
    readonly name: string
    readonly job: JobDefinition<In, unknown, unknown>
    readonly options?: TickOptions | undefined
  } & ScheduleOptions &
    PayloadOf<In>,
): ScheduleDefinition {
  if (typeof schedule !== 'object' || schedule === null)
    throw new ErrandError('E_OPTION', `defineSchedule() takes an object, not ${describe(schedule)}`)
  const name = checkScheduleName(schedule.name)
  const what = `defineSchedule('${name}')`
  checkOptions(what, schedule, optionNames)
  const { job, payload, options } = schedule
  const policy = resolvedJob(job)
  if (policy.payload === undefined && payload !== undefined)
    throw new ErrandError('E_OPTION', `${what} has a payload, but ${policy.name} takes none; leave it out`)
  if (policy.payload !== undefined && payload === undefined)
    throw new ErrandError('E_OPTION', `${what} has no payload, but ${policy.name} needs one`)
  if (options !== undefined) checkOptions(`${what} options`, options, tickOptionNames)
  const resolved: ResolvedSchedule = Object.freeze({
    name,
    job,
    payload,
    options,
    rules: resolveRules(what, schedule),
  })
  return Object.freeze(Object.defineProperty({ name, job }, resolvedKey, { value: resolved }))
}

const tickOptionNames: readonly string[] = [
  'lane',
  'queue',
  'orderingKey',
  'uniqueKey',
  'shareKey',
  'limitKey',
  'tags',
  'meta',
]

/** @throws `E_SCHEDULE`, `E_DURATION`, `E_OPTION` */
export function resolveRules(what: string, options: ScheduleOptions): ScheduleRules {
  const { missed = 'last', overlap = 'allow', jitter = 0, until } = options
  const times = checkTimes(what, options)
  const rules = {
    times,
    missed: checkOneOf(`${what}: missed`, missed, ['skip', 'last'] as const),
    overlap: checkOneOf(`${what}: overlap`, overlap, ['allow', 'skip'] as const),
    jitterMs: durationMs(jitter, `${what}: jitter`),
    ...(until === undefined ? {} : { endMs: momentMs(`${what}: until`, until) }),
  }
  if (times.kind === 'once' && rules.endMs !== undefined && times.atMs > rules.endMs)
    throw new ErrandError('E_SCHEDULE', `${what} never comes: its until is before its at`)
  return rules
}

/** @throws `E_OPTION` when it was not made by `defineSchedule`. */
export function resolvedSchedule(schedule: ScheduleDefinition): ResolvedSchedule {
  const resolved =
    typeof schedule === 'object' && schedule !== null ? Reflect.get(schedule, resolvedKey) : undefined
  if (resolved) return resolved as ResolvedSchedule
  throw new ErrandError(
    'E_OPTION',
    `a schedule is ${describe(schedule)}; pass what defineSchedule() returned (is it exported, and imported by its right name?)`,
  )
}
