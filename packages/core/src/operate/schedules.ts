import { jsonCodec } from '../codec/json-codec.ts'
import { crypto } from '../crypto.ts'
import type { JobDefinition } from '../define/job.ts'
import { resolveRules, scheduleOptionNames } from '../define/schedule.ts'
import type { ScheduleOptions } from '../define/schedule.ts'
import { prepare } from '../dispatch/prepare.ts'
import { checkTransaction } from '../dispatch/transaction.ts'
import { ErrandError } from '../errors.ts'
import { checkScheduleName } from '../names.ts'
import { checkInteger, checkOptions } from '../options.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { Note } from '../ports/operations.ts'
import type { ScheduleChange, ScheduleRecord } from '../ports/schedules.ts'
import type { Transaction } from '../ports/transaction.ts'
import { addAct, asSchedulePayload, createBody, readBody, tryReadBody, writeBody } from '../schedule/body.ts'
import type { Act, Overlap, ScheduleBody, ScheduleRules } from '../schedule/body.ts'
import type { Missed } from '../schedule/due-tick.ts'
import { findNext, findNextUnder } from '../schedule/find-next.ts'
import type { StoredTimes } from '../schedule/times.ts'
import { jittered } from '../supervise.ts'
import type { OperateDeps } from './connection.ts'
import { noteFrom, toNote } from './filter.ts'
import type { By } from './jobs.ts'

/** A schedule as operators see it. */
export interface ScheduleInfo {
  readonly name: string
  /** The name of its job. */
  readonly job: string
  /** When it ticks, for people: `30 2 * * * Europe/Berlin`, `every 15m`, `once at 2027-01-01T00:00:00.000Z`. */
  readonly times: string
  /** By whose clock its times are meant. `UTC` where it is no matter of clocks. */
  readonly zone: string
  readonly missed: Missed
  readonly overlap: Overlap
  /** Milliseconds. */
  readonly jitterMs: number
  readonly until: Date | undefined
  /** `code`: workers declare it. `run time`: it was set. */
  readonly from: 'code' | 'run time'
  /** No live worker declares it any more, so nobody ticks it. */
  readonly dormant: boolean
  /**
   * Another program has spoilt its row, so it does not tick. Only its name, its job, `from` and `dormant` are known: its `times` are
   * empty, and all else is as of a schedule to which nothing has happened. Remove it, and set or declare it again.
   */
  readonly unreadable: boolean
  readonly pausedBy: string | undefined
  /** The next tick, without its jitter. Undefined: none comes, or it is paused. */
  readonly next: Date | undefined
  /** The last tick, and the job of the last tick or trigger. */
  readonly last: Date | undefined
  readonly lastJob: string | undefined
  /** Ticks that were left out: missed, or their predecessor had not ended, or their payload failed. */
  readonly leftOut: number
  /** Why the last tick could not be dispatched. */
  readonly trouble: { readonly at: Date; readonly error: string } | undefined
  /** What was done to it, the newest last: at most twenty. */
  readonly acts: readonly (Omit<Act, 'at'> & { readonly at: Date })[]
}

/** A schedule that is set at run time, for example one for each tenant. */
export type SetSchedule<In> = {
  /** Letters, digits and `. _ : / -`, at most 128. */
  readonly name: string
  readonly job: JobDefinition<In, unknown, unknown>
} & ScheduleOptions &
  ([In] extends [void] ? { readonly payload?: undefined } : { readonly payload: NoInfer<In> })

/** Who sets a schedule, and why. */
export interface SetBy extends By {
  /** Your own transaction, as in `dispatch`: the schedule is set once that has committed. */
  readonly tx?: Transaction | undefined
}

export interface Schedules {
  /** All of them, by name. */
  list(): Promise<readonly ScheduleInfo[]>
  get(name: string): Promise<ScheduleInfo | undefined>
  /** The next ticks (default 5, at most 1,000), without their jitter. @throws `E_NOT_FOUND`, `E_LOG` for one that is unreadable */
  next(name: string, options?: { readonly count?: number | undefined }): Promise<readonly Date[]>
  /** Nothing ticks until it is resumed. What comes meanwhile is not made up for. @throws `E_NOT_FOUND`, `E_LOG` for one that is unreadable */
  pause(name: string, by: string | By): Promise<void>
  /** It goes on from now. @throws as `pause` */
  resume(name: string, by: string | By): Promise<void>
  /** Dispatches its job once more, outside of its times, also while it is paused. `overlap: 'skip'` holds. @throws as `pause` */
  trigger(name: string, by: string | By): Promise<void>
  /**
   * Creates or changes a schedule at run time. Every worker that handles its job ticks it. Setting the same times again changes
   * nothing but the payload, so an application may do it at each start. With `tx` it is a part of your transaction.
   * @throws `E_SCHEDULE`, `E_NAME`, `E_DURATION`, `E_OPTION`, `E_PAYLOAD_INVALID` and its like; `E_NOT_ALLOWED` if a worker's code
   * declares a schedule of that name; with `tx` also `E_TRANSACTION`.
   * @example await errand.schedules.set({ name: 'sync:tenant-7', job: sync, every: '1h', payload: { tenant: 7 } }, 'billing page')
   */
  set<In>(schedule: SetSchedule<In>, by: string | SetBy): Promise<void>
  /** Removes it. One that workers declare comes back, so take it out of their code. Resolves with whether it was there. */
  remove(name: string): Promise<boolean>
}

const mostPreviewed = 1_000
/** Somebody else may change it at the same time, as each tick does, or hold it in a transaction: for up to five seconds or so. */
const mostTries = 20
const retryMs = 250

export function createSchedules(deps: OperateDeps): Schedules {
  async function read(
    log: JobLog,
    name: string,
    tx?: Transaction,
  ): Promise<[ScheduleRecord | undefined, number]> {
    const { now, schedules } = await log.readSchedules([checkScheduleName(name)], tx)
    return [schedules[0], now]
  }

  async function find(name: string): Promise<ScheduleRecord> {
    const [record] = await read(await deps.connectedLog(), name)
    if (record) return record
    throw notFound(name)
  }

  /** Reads and writes it until nobody else was faster. Without a change there is nothing to write. */
  async function change(
    name: string,
    make: (
      record: ScheduleRecord | undefined,
      now: number,
    ) => Promise<ScheduleChange> | ScheduleChange | undefined,
    tx?: Transaction,
  ): Promise<void> {
    const log = await deps.connectedLog()
    for (let tries = 1; tries <= mostTries; tries += 1) {
      const [record, now] = await read(log, name, tx)
      const made = await make(record, now)
      if (!made) return
      const [answer] = await log.saveSchedules([made], tx)
      if (answer?.saved === true) return
      // Usually a tick came in between, and has ended.
      if (tries > 1) await deps.clock.sleep(jittered(retryMs))
    }
    throw new ErrandError(
      'E_LOG',
      `schedule "${name}" changes all the time, or another transaction holds it; try again`,
    )
  }

  function act(
    name: string,
    note: Note,
    what: Act['what'],
    edit: (body: ScheduleBody, now: number) => ScheduleBody,
  ): Promise<void> {
    return change(name, (record, now) => {
      if (!record) throw notFound(name)
      const body = edit(readBody(record), now)
      return {
        name,
        after: record.revision,
        to: writeBody(record, addAct(body, { what, ...note, at: now })),
      }
    })
  }

  return {
    async list() {
      const log = await deps.connectedLog()
      return (await log.readSchedules()).schedules.map((record) => toInfo(record))
    },
    async get(name) {
      const [record] = await read(await deps.connectedLog(), name)
      return record && toInfo(record)
    },
    async next(name, options = {}) {
      checkOptions('next()', options, ['count'])
      const count = checkInteger('count', options.count ?? 5, 1, mostPreviewed)
      const { rules, nextAt } = readBody(await find(name))
      const ticks: Date[] = []
      for (let at = nextAt; at !== undefined && ticks.length < count; at = findNext(rules, at))
        ticks.push(new Date(at))
      return ticks
    },
    async pause(name, by) {
      const note = noteFrom('pause()', by)
      await act(name, note, 'paused', (body) => ({ ...body, pausedBy: body.pausedBy ?? note.by }))
    },
    async resume(name, by) {
      await act(name, noteFrom('resume()', by), 'resumed', ({ pausedBy, ...body }, now) =>
        pausedBy === undefined ? body : { ...body, nextAt: findNext(body.rules, now) },
      )
    },
    async trigger(name, by) {
      await act(name, noteFrom('trigger()', by), 'triggered', (body, now) => ({
        ...body,
        triggers: body.triggers + 1,
        triggerAt: now,
      }))
    },
    async set(schedule, by) {
      const who = typeof by === 'string' ? { by } : by
      const note = toNote('set()', who, ['tx'])
      const { tx } = who
      if (tx !== undefined) checkTransaction(tx)
      const name = checkScheduleName(schedule.name)
      const what = `schedules.set('${name}')`
      checkOptions(what, schedule, ['name', 'job', 'payload', ...scheduleOptionNames])
      const { job, payload } = schedule as SetSchedule<unknown>
      const rules = resolveRules(what, schedule)
      const { settings, codec } = deps
      const id = crypto().randomUUID()
      // Checks the payload as a dispatch would. It is encoded once its place is known.
      const checked = await prepare({ job, payload, options: { id } }, undefined, {
        settings,
        codec: jsonCodec,
        newId: () => id,
      })
      await change(
        name,
        async (record, now) => {
          if (record?.isDeclared === true)
            throw new ErrandError(
              'E_NOT_ALLOWED',
              `schedule "${name}" is declared by the code of workers; give this one another name, or remove it there and here`,
            )
          const stored = record && tryReadBody(record)
          const before = stored ?? createBody(id, rules)
          const body: ScheduleBody = {
            ...before,
            rules,
            nextAt: stored ? findNextUnder(rules, stored, now) : findNext(rules, now),
            payload:
              payload === undefined
                ? undefined
                : await codec.encode(checked.payload.text, asSchedulePayload(before.uid, name)),
          }
          const row = { job: checked.name, isDeclared: false, declaredBy: undefined }
          return {
            name,
            after: record?.revision ?? 0,
            to: writeBody(row, addAct(body, { what: 'set', ...note, at: now })),
          }
        },
        tx,
      )
    },
    async remove(name) {
      let isThere = true
      await change(name, (record) => {
        isThere = record !== undefined
        return record && { name, after: record.revision, to: undefined }
      })
      return isThere
    },
  }
}

function notFound(name: string): ErrandError {
  return new ErrandError('E_NOT_FOUND', `there is no schedule "${name}" in this log`)
}

/** Of a schedule whose row cannot be read. */
const noRules: ScheduleRules = {
  times: { kind: 'once', atMs: 0 },
  missed: 'last',
  overlap: 'allow',
  jitterMs: 0,
}

function toInfo(record: ScheduleRecord): ScheduleInfo {
  const body = tryReadBody(record)
  const { rules, nextAt, lastAt, lastJob, leftOut, pausedBy, trouble, acts } = body ?? createBody('', noRules)
  const toDate = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(ms))
  return {
    name: record.name,
    job: record.job,
    times: body ? describeTimes(rules.times) : '',
    zone: rules.times.kind === 'cron' ? rules.times.zone : 'UTC',
    missed: rules.missed,
    overlap: rules.overlap,
    jitterMs: rules.jitterMs,
    until: toDate(rules.endMs),
    from: record.isDeclared ? 'code' : 'run time',
    dormant: record.isDeclared && !record.declarerLives,
    unreadable: body === undefined,
    pausedBy,
    next: pausedBy === undefined ? toDate(nextAt) : undefined,
    last: toDate(lastAt),
    lastJob,
    leftOut,
    trouble: trouble && { at: new Date(trouble.at), error: trouble.error },
    acts: acts.map((act) => ({ ...act, at: new Date(act.at) })),
  }
}

const units = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1_000, 's'],
  [1, 'ms'],
] as const

function describeTimes(times: StoredTimes): string {
  switch (times.kind) {
    case 'cron':
      return `${times.cron} ${times.zone}`
    case 'every': {
      const [ms, unit] = units.find(([each]) => times.everyMs % each === 0) ?? [1, 'ms']
      return `every ${times.everyMs / ms}${unit}`
    }
    case 'once':
      return `once at ${new Date(times.atMs).toISOString()}`
    default:
      return times satisfies never
  }
}
