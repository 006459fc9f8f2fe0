import type { Settings } from '../config/defaults.ts'
import type { ResolvedHandler } from '../define/handler.ts'
import { resolvedJob } from '../define/job.ts'
import type { AnyJob } from '../define/job.ts'
import type { ResolvedSchedule, Tick } from '../define/schedule.ts'
import { prepare } from '../dispatch/prepare.ts'
import { publishAndWake } from '../dispatch/publisher.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import { crypto } from '../crypto.ts'
import { ErrandError, isErrandError, toError } from '../errors.ts'
import { isSameJson } from '../json.ts'
import type { NewJob } from '../job/job.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Appended, JobLog } from '../ports/job-log.ts'
import type { KnownSchedules, ScheduleChange, ScheduleRecord } from '../ports/schedules.ts'
import { jittered, supervised } from '../supervise.ts'
import { asSchedulePayload, createBody, readBody, writeBody } from './body.ts'
import type { ScheduleBody } from './body.ts'
import { findDueTick } from './due-tick.ts'
import { findNext, findNextUnder } from './find-next.ts'
import { findJitter, makeTickId, makeTriggerId } from './tick.ts'
import { formatTick } from './tick-meta.ts'

export interface TickerParts {
  readonly log: JobLog
  readonly workerId: string
  readonly schedules: ReadonlyMap<string, ResolvedSchedule>
  readonly handlers: ReadonlyMap<string, ResolvedHandler>
  readonly settings: Settings
  readonly codec: Codec
  readonly publisher: Publisher
  readonly clock: Clock
  readonly logger: Logger
}

/** A schedule as it was read. Without a body: another program has written something else. */
interface Found {
  readonly record: ScheduleRecord
  readonly body: ScheduleBody | undefined
}

/** A tick, and the id of its job. */
interface Run {
  readonly tick: Tick
  readonly id: string
}

/** How the row of a due schedule goes on, and what it dispatches. */
interface Due {
  readonly body: ScheduleBody
  readonly run?: Run | undefined
}

const declareEveryMs = 30_000
const retryMinMs = 200
/** A declaration that still holds is confirmed once a day, so that schedules that nobody declares any more can be told. */
const confirmEveryMs = 86_400_000
/** A codec that fails may work again soon, so the tick waits for it for so many passes. */
const mostTries = 5

/**
 * Dispatches the ticks of schedules. Any number of workers do so, and none of them leads: a tick is a change of the schedule's
 * row, which one of them makes.
 */
export class Ticker {
  readonly known: KnownSchedules
  readonly #parts: TickerParts
  readonly #failures = new Map<string, number>()
  /** Those that the log has from somebody else. Each is said once. */
  readonly #unused = new Set<string>()
  #startedAt: number | undefined

  constructor(parts: TickerParts) {
    this.#parts = parts
    this.known = { names: [...parts.schedules.keys()], jobs: [...parts.handlers.keys()] }
  }

  /** Declares the schedules of this worker until the signal aborts, so that they stay right when other versions come and go. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, logger, schedules } = this.#parts
    if (schedules.size === 0) return
    await supervised(
      async (healthy) => {
        while (!stop.aborted) {
          await this.declare()
          healthy()
          await clock.sleep(jittered(declareEveryMs), stop)
        }
      },
      {
        what: 'declaring the schedules',
        signal: stop,
        clock,
        logger,
        minMs: retryMinMs,
        maxMs: declareEveryMs,
      },
    )
  }

  /**
   * Writes the schedules of this worker that the log does not have, or has differently. Of two versions of one schedule the one
   * whose worker started last applies, as long as such a worker lives.
   */
  async declare(): Promise<void> {
    const { log, schedules } = this.#parts
    const found = await log.readSchedules(this.known.names)
    this.#startedAt ??= found.now
    const records = new Map(found.schedules.map((record) => [record.name, record]))
    const changes = [...schedules.values()].flatMap(
      (schedule) => this.#declareOne(schedule, records.get(schedule.name), found.now) ?? [],
    )
    if (changes.length > 0) await log.saveSchedules(changes)
  }

  #declareOne(
    { name, job, rules }: ResolvedSchedule,
    record: ScheduleRecord | undefined,
    now: number,
  ): ScheduleChange | undefined {
    const { workerId, logger } = this.#parts
    if (record?.isDeclared === false) {
      if (!this.#unused.has(name))
        logger.warn(
          { schedule: name },
          'a schedule of this name was set at run time, so the one of the code is not used; remove it (errand schedules remove) or rename one',
        )
      this.#unused.add(name)
      return undefined
    }
    const before = record && this.#read(record)
    const row = { job: resolvedJob(job).name, isDeclared: true, declaredBy: workerId }
    const declared = { declaredAt: now, declarerStartedAt: this.#startedAt }
    if (!record || !before) {
      const body = createBody(crypto().randomUUID(), rules)
      const nextAt = findNext(rules, now)
      return { name, after: record?.revision ?? 0, to: writeBody(row, { ...body, ...declared, nextAt }) }
    }
    const isSame = record.job === row.job && isSameJson(before.rules, rules)
    if (isSame) {
      const isFresh = now - (before.declaredAt ?? 0) < confirmEveryMs
      if (record.declarerLives && isFresh) return undefined
      return { name, after: record.revision, to: writeBody(row, { ...before, ...declared }) }
    }
    const isNewer = (this.#startedAt ?? now) > (before.declarerStartedAt ?? 0)
    if (record.declarerLives && !isNewer) return undefined
    const nextAt = findNextUnder(rules, before, now)
    return { name, after: record.revision, to: writeBody(row, { ...before, ...declared, rules, nextAt }) }
  }

  /**
   * Dispatches what is due of these schedules. Resolves with when the first of them is due again, in milliseconds; undefined: none
   * of them, or somebody else was faster. Rejects only if the log fails.
   */
  async tick(names: readonly string[]): Promise<number | undefined> {
    const { log, publisher } = this.#parts
    const { now, schedules } = await log.readSchedules(names)
    const found = schedules.map((record): Found => ({ record, body: this.#read(record) }))
    const live = await this.#findLive(found)
    const made = await Promise.all(found.map((each) => this.#tickOne(each, now, live)))
    const changes = made.filter((change) => change !== undefined)
    if (changes.length === 0) return undefined
    const saved = await log.saveSchedules(changes)
    const amended = changes.flatMap((change, index) => this.#amend(change, saved[index]?.appended, now) ?? [])
    if (amended.length > 0) await log.saveSchedules(amended)
    const tickets = saved.flatMap(({ appended }) =>
      appended?.status === 'added' && appended.ticket ? [appended.ticket] : [],
    )
    publishAndWake(log, publisher, tickets)
    const times = changes.flatMap(({ to }, index) =>
      saved[index]?.saved === true && to?.dueAt !== undefined ? [to.dueAt] : [],
    )
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times) - now)
  }

  /** A tick that has no job of its own after all: another job holds its unique key, or the log cannot store it. */
  #amend(
    { name, after, to, job }: ScheduleChange,
    appended: Appended | undefined,
    now: number,
  ): ScheduleChange | undefined {
    if (!to || !job || !appended || appended.status === 'added') return undefined
    const { lastJob: _, ...body } = readBody({ name, body: to.body })
    const leftOut = body.leftOut + 1
    const amend = (more: Partial<ScheduleBody>): ScheduleChange => ({
      name,
      after: after + 1,
      to: writeBody(to, { ...body, leftOut, ...more }),
    })
    if (appended.status === 'duplicate')
      // With its own id it was stored before, and a restored row has ticked again.
      return appended.id === job.id ? undefined : amend({ lastJob: appended.id })
    const error = appended.status === 'refused' ? appended.why : 'another transaction holds its key'
    this.#report(name, error)
    return amend({ trouble: { at: now, error } })
  }

  /** Jobs of last ticks that have not ended, of schedules that ask for it. */
  async #findLive(found: readonly Found[]): Promise<ReadonlySet<string>> {
    const last = found.flatMap(({ body }) => (body?.rules.overlap === 'skip' ? (body.lastJob ?? []) : []))
    if (last.length === 0) return new Set()
    return new Set((await this.#parts.log.unfinished(last)).map(({ id }) => id))
  }

  async #tickOne(
    { record, body: before }: Found,
    now: number,
    live: ReadonlySet<string>,
  ): Promise<ScheduleChange | undefined> {
    const { name, revision: after } = record
    // Out of the way, until somebody mends it.
    if (!before) return { name, after, to: { ...record, dueAt: undefined } }
    const job = this.#findJob(record)
    if (!job) return undefined
    const save = (to: ScheduleBody, made?: NewJob): ScheduleChange => ({
      name,
      after,
      to: writeBody(record, to),
      job: made,
    })
    let due: Due
    try {
      due = findDue(name, before, now)
    } catch (error) {
      // Another program has written a cron or a zone that is none.
      const { message } = toError(error)
      this.#report(name, message)
      return save({ ...before, nextAt: undefined, trouble: { at: now, error: message } })
    }
    const { body, run } = due
    if (!run) return save(body)
    const isLive = before.lastJob !== undefined && live.has(before.lastJob)
    if (isLive && before.rules.overlap === 'skip') return save({ ...body, leftOut: body.leftOut + 1 })
    try {
      const made = await this.#prepare(name, before, job, run)
      this.#failures.delete(name)
      return save({ ...body, lastJob: run.id, trouble: undefined }, made)
    } catch (error) {
      if (this.#isWorthAnother(name, error)) return undefined
      const { message } = toError(error)
      this.#report(name, message)
      return save({ ...body, leftOut: body.leftOut + 1, trouble: { at: now, error: message } })
    }
  }

  async #prepare(
    name: string,
    { uid, rules, payload: stored }: ScheduleBody,
    job: AnyJob,
    { tick, id }: Run,
  ): Promise<NewJob> {
    const atMs = tick.at.getTime()
    const { codec, settings, schedules } = this.#parts
    const own = schedules.get(name)
    const payload = stored
      ? (JSON.parse(await codec.decode(stored, asSchedulePayload(uid, name))) as unknown)
      : typeof own?.payload === 'function'
        ? callPayload(name, own.payload as (tick: Tick) => unknown, tick)
        : own?.payload
    const jitterMs = findJitter(uid, atMs, rules.jitterMs)
    return prepare(
      {
        job,
        payload,
        options: { ...own?.options, id, ...(jitterMs === 0 ? {} : { at: new Date(atMs + jitterMs) }) },
      },
      undefined,
      { settings, codec, newId: () => id, meta: formatTick(tick) },
    )
  }

  /** The job as this worker knows it. */
  #findJob({ name, job, isDeclared }: ScheduleRecord): AnyJob | undefined {
    const { schedules, handlers } = this.#parts
    return isDeclared ? schedules.get(name)?.job : handlers.get(job)?.job
  }

  #read(record: ScheduleRecord): ScheduleBody | undefined {
    try {
      return readBody(record)
    } catch (error) {
      this.#parts.logger.error({ err: error, schedule: record.name }, 'a schedule cannot be read')
      return undefined
    }
  }

  /** What the payload or its function did wrong stays wrong. A codec that asks a server may work again soon. */
  #isWorthAnother(name: string, error: unknown): boolean {
    if (isErrandError(error) && error.code !== 'E_CODEC') return false
    const failures = (this.#failures.get(name) ?? 0) + 1
    this.#failures.set(name, failures)
    return failures < mostTries
  }

  #report(schedule: string, reason: string): void {
    this.#parts.logger.error({ schedule, reason }, 'a tick could not be dispatched, and was left out')
  }
}

function callPayload(name: string, payload: (tick: Tick) => unknown, tick: Tick): unknown {
  try {
    return payload(tick)
  } catch (error) {
    const { message } = toError(error)
    throw new ErrandError('E_SCHEDULE', `payload() of schedule ${name} threw: ${message}`, { cause: error })
  }
}

/** What is to be done for a schedule that the log called due. */
function findDue(name: string, body: ScheduleBody, now: number): Due {
  const { uid, rules, triggers, triggered, triggerAt = now, lastAt, nextAt, pausedBy } = body
  const previous = lastAt === undefined ? undefined : new Date(lastAt)
  if (triggers > triggered) {
    const tick = { schedule: name, at: new Date(triggerAt), previous, missed: 0 }
    const id = makeTriggerId(uid, triggerAt, triggered + 1)
    return { body: { ...body, triggered: triggered + 1 }, run: { tick, id } }
  }
  if (nextAt === undefined || pausedBy !== undefined) return { body }
  const due = findDueTick(rules.times, nextAt, now, rules)
  if (!due) return { body }
  const { atMs, leftOut, nextMs } = due
  const next = { ...body, nextAt: nextMs, leftOut: body.leftOut + leftOut }
  if (atMs === undefined) return { body: next }
  const tick = { schedule: name, at: new Date(atMs), previous, missed: leftOut }
  return { body: { ...next, lastAt: atMs }, run: { tick, id: makeTickId(uid, atMs) } }
}
