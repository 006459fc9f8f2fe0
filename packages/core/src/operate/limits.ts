import { limitOptionNames, resolveValues } from '../define/limit.ts'
import type { RateOptions } from '../define/limit.ts'
import { checkKey } from '../dispatch/keys.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import type { Ticket } from '../job/ticket.ts'
import { addLimitAct, readLimitBody, writeLimitBody } from '../limit/body.ts'
import type { LimitAct, LimitBody, LimitOverlay } from '../limit/body.ts'
import { checkLimitName } from '../names.ts'
import { checkInteger, checkOptions } from '../options.ts'
import type { Closing, LimitCounts, LimitRecord, LimitValues, Rate } from '../ports/limits.ts'
import type { Note } from '../ports/operations.ts'
import type { OperateDeps } from './connection.ts'
import { noteFrom } from './filter.ts'
import type { By } from './jobs.ts'
import { publishTickets } from './publish-tickets.ts'

/** Until when a limit or key is closed, and who has closed it. */
export interface ClosedInfo {
  readonly until: Date
  readonly by: string
  readonly reason: string | undefined
}

/** Jobs of a limit, or of one of its keys. */
export interface LimitJobs {
  /** Let go, and not started yet. */
  readonly ready: number
  readonly running: number
  /** Counted up to 10,000. */
  readonly waiting: number
  /** Undefined: it is open. */
  readonly closed: ClosedInfo | undefined
}

/** So many jobs in each second, and at most `burst` at once. */
export interface RateInfo {
  readonly perSecond: number
  readonly burst: number
}

/** A limit as operators see it. */
export interface LimitInfo extends LimitJobs {
  readonly name: string
  /** False: no worker has declared it, so its jobs wait. */
  readonly declared: boolean
  /** The values that apply. Undefined: not limited. */
  readonly concurrency: { readonly total: number | undefined; readonly perKey: number | undefined }
  readonly rate: { readonly total: RateInfo | undefined; readonly perKey: RateInfo | undefined }
  /** Whether an operator has set some of them, in place of those of the code. */
  readonly changed: boolean
  /** What was done to it, the newest last: at most twenty. Closings of keys are with the keys. */
  readonly acts: readonly (Omit<LimitAct, 'at'> & { readonly at: Date })[]
}

export interface LimitKeyInfo extends LimitJobs {
  readonly key: string
}

/** Values to set in place of those of the code. Null: not limited. What is missing stays as it is. */
export interface LimitChanges {
  readonly concurrency?:
    | number
    | null
    | { readonly total?: number | null | undefined; readonly perKey?: number | null | undefined }
    | undefined
  readonly rate?:
    | RateOptions
    | null
    | { readonly total?: RateOptions | null | undefined; readonly perKey?: RateOptions | null | undefined }
    | undefined
}

export interface Limits {
  /** All of them, by name. */
  list(): Promise<readonly LimitInfo[]>
  get(name: string): Promise<LimitInfo | undefined>
  /** Keys that have jobs, or are closed: those whose turn comes first, first. Default 100, at most 10,000. */
  keys(
    name: string,
    options?: { readonly key?: string | undefined; readonly limit?: number | undefined },
  ): Promise<readonly LimitKeyInfo[]>
  /**
   * Changes values for the whole fleet at once, without a deploy. They stay until `reset`, also if the code changes. A lower limit
   * stops nobody who runs.
   * @throws `E_LIMIT`, `E_DURATION`, `E_OPTION`; `E_NOT_FOUND` if no worker has declared it
   * @example await errand.limits.set('mail-api', { concurrency: { perKey: 2 } }, 'ada')
   */
  set(name: string, changes: LimitChanges, by: string | By): Promise<void>
  /** The values of the code apply again. @throws `E_NOT_FOUND` */
  reset(name: string, by: string | By): Promise<void>
  /**
   * Nothing of the limit, or of this key, is let go for so long. What runs goes on. A longer closing stays.
   * @throws `E_DURATION`, `E_KEY`, `E_OPTION`
   * @example await errand.limits.close('mail-api', { key: 'acme', for: '10m' }, { by: 'ada', reason: 'they asked us to' })
   */
  close(
    name: string,
    options: { readonly key?: string | undefined; readonly for: Duration },
    by: string | By,
  ): Promise<void>
  /** Ends the closing of the limit, or of this key. */
  open(name: string, options: { readonly key?: string | undefined }, by: string | By): Promise<void>
  /** Forgets a limit that no worker declares any more. One that workers declare comes back. Resolves with whether it was there. */
  remove(name: string): Promise<boolean>
}

const mostKeys = 10_000
/** Somebody else may change it at the same time. */
const mostTries = 20

export function createLimits(deps: OperateDeps): Limits {
  /** Where nothing may go, the driver need not be loaded. */
  async function publish(tickets: readonly Ticket[]): Promise<void> {
    if (tickets.length > 0) await publishTickets(deps, tickets)
  }

  /** Reads and writes it until nobody else was faster. */
  async function change(
    name: string,
    make: (body: LimitBody, now: number) => LimitBody | undefined,
  ): Promise<void> {
    const log = await deps.connectedLog()
    for (let tries = 1; tries <= mostTries; tries += 1) {
      const { now, limits } = await log.readLimits([checkLimitName(name)])
      const body = limits[0] && readLimitBody(limits[0])
      if (!limits[0] || !body) throw notFound(name)
      const next = make(body, now)
      if (!next) return
      const { saved, tickets } = await log.saveLimits([
        { name, after: limits[0].revision, to: writeLimitBody(next) },
      ])
      if (saved[0]) return publish(tickets)
    }
    throw new ErrandError('E_LOG', `limit "${name}" changes all the time; try again`)
  }

  async function closeFor(name: string, key: string | undefined, forMs: number, note: Note): Promise<void> {
    const log = await deps.connectedLog()
    const { limits } = await log.readLimits([checkLimitName(name)])
    if (!limits[0]) throw notFound(name)
    const target = { name, key: key === undefined ? undefined : checkKey('key', key) }
    const { tickets } = await log.closeLimit(target, forMs, note)
    if (key === undefined && readLimitBody(limits[0]))
      await change(name, (body, at) =>
        addLimitAct(body, { what: forMs === 0 ? 'opened' : 'closed', ...note, at }),
      )
    await publish(tickets)
  }

  return {
    async list() {
      return (await (await deps.connectedLog()).readLimits()).limits.map(toInfo)
    },
    async get(name) {
      const { limits } = await (await deps.connectedLog()).readLimits([checkLimitName(name)])
      return limits[0] && toInfo(limits[0])
    },
    async keys(name, options = {}) {
      checkOptions('keys()', options, ['key', 'limit'])
      const limit = checkInteger('limit', options.limit ?? 100, 1, mostKeys)
      const key = options.key === undefined ? undefined : checkKey('key', options.key)
      const log = await deps.connectedLog()
      const keys = await log.readLimitKeys(checkLimitName(name), { key, limit })
      return keys.map((record) => ({ key: record.key, ...toJobs(record) }))
    },
    async set(name, changes, by) {
      const note = noteFrom('set()', by)
      const what = `limits.set('${checkLimitName(name)}')`
      checkOptions(what, changes, limitOptionNames)
      const overlay = toOverlay(what, changes)
      if (Object.keys(overlay).length === 0)
        throw new ErrandError('E_OPTION', `${what} changes nothing; give it concurrency or rate`)
      await change(name, (body, at) =>
        addLimitAct({ ...body, overlay: { ...body.overlay, ...overlay } }, { what: 'set', ...note, at }),
      )
    },
    async reset(name, by) {
      const note = noteFrom('reset()', by)
      await change(
        name,
        ({ overlay, ...body }, at) => overlay && addLimitAct(body, { what: 'reset', ...note, at }),
      )
    },
    async close(name, options, by) {
      const note = noteFrom('close()', by)
      checkOptions('close()', options, ['key', 'for'])
      const forMs = durationMs(options.for, 'close(): for')
      if (forMs === 0)
        throw new ErrandError('E_DURATION', 'close(): for is 0; open() ends a closing, any other time closes')
      await closeFor(name, options.key, forMs, note)
    },
    async open(name, options, by) {
      const note = noteFrom('open()', by)
      checkOptions('open()', options, ['key'])
      await closeFor(name, options.key, 0, note)
    },
    async remove(name) {
      const log = await deps.connectedLog()
      const { limits } = await log.readLimits([checkLimitName(name)])
      if (!limits[0] || limits[0].revision === 0) return false
      const { saved } = await log.saveLimits([{ name, after: limits[0].revision, to: undefined }])
      return saved[0] === true
    },
  }
}

function notFound(name: string): ErrandError {
  return new ErrandError('E_NOT_FOUND', `there is no limit "${name}" in this log: no worker has declared it`)
}

/** Null in a value means: not limited. It is taken out, so that the others can be checked as in code. */
function toOverlay(what: string, changes: LimitChanges): LimitOverlay {
  const none: LimitOverlay = {
    ...(isNone(changes.concurrency, 'total') ? { total: null } : {}),
    ...(isNone(changes.concurrency, 'perKey') ? { perKey: null } : {}),
    ...(isNone(changes.rate, 'total') ? { rate: null } : {}),
    ...(isNone(changes.rate, 'perKey') ? { keyRate: null } : {}),
  }
  return { ...none, ...resolveValues(what, withoutNulls(changes)) }
}

function isNone(value: unknown, name: 'total' | 'perKey'): boolean {
  if (value === null) return name === 'total'
  return typeof value === 'object' && Reflect.get(value, name) === null
}

function withoutNulls(value: object): object {
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null)
      .map(([name, each]) => [name, typeof each === 'object' ? withoutNulls(each as object) : each]),
  )
}

function toJobs({ ready, running, waiting, closed }: LimitCounts): LimitJobs {
  return { ready, running, waiting, closed: closed && toClosed(closed) }
}

function toClosed({ until, by, reason }: Closing): ClosedInfo {
  return { until: new Date(until), by, reason }
}

function toInfo(record: LimitRecord): LimitInfo {
  const body = readLimitBody(record)
  const { total, perKey, rate, keyRate }: LimitValues = record.values ?? {}
  return {
    name: record.name,
    declared: record.values !== undefined,
    concurrency: { total, perKey },
    rate: { total: rate && toRate(rate), perKey: keyRate && toRate(keyRate) },
    changed: body?.overlay !== undefined,
    ...toJobs(record),
    acts: (body?.acts ?? []).map((act) => ({ ...act, at: new Date(act.at) })),
  }
}

function toRate({ everyMs, burst }: Rate): RateInfo {
  return { perSecond: 1_000 / everyMs, burst }
}
