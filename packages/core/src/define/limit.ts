import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { checkLimitName } from '../names.ts'
import { checkFunction, checkInteger, checkOptions, describe } from '../options.ts'
import type { LimitValues, Rate } from '../ports/limits.ts'

declare const payload: unique symbol

/** How many jobs may start in a time. */
export interface RateOptions {
  /** So many jobs … */
  readonly max: number
  /** … in this time. */
  readonly per: Duration
  /** How many may start at once after a pause. Default: what the rate gives in a second, at least 1. */
  readonly burst?: number | undefined
}

/** Values of a limit. What is missing is not limited. */
export interface LimitOptions {
  /**
   * How many of its jobs may be ready or running at a time, over the whole fleet: `total` in all, `perKey` of each key. A number
   * is `total`.
   */
  readonly concurrency?:
    | number
    | { readonly total?: number | undefined; readonly perKey?: number | undefined }
    | undefined
  /** How fast they may start: `total` in all, `perKey` of each key. Without these two words it is `total`. */
  readonly rate?:
    | RateOptions
    | { readonly total?: RateOptions | undefined; readonly perKey?: RateOptions | undefined }
    | undefined
}

/** A limit in code: made by `defineLimit`. */
export interface LimitDefinition<In> {
  readonly name: string
  readonly [payload]: (payload: In) => void
}

/** A limit, checked. */
export interface ResolvedLimit {
  readonly name: string
  readonly key: ((payload: unknown) => string) | undefined
  readonly values: LimitValues
}

// Registered, as in define/job.ts.
const resolvedKey: unique symbol = Symbol.for('@errand/core:limit') as never
const most = 10_000
const mostBurst = 1_000_000
const leastEveryMs = 0.001

/**
 * Defines a limit: how many jobs run at a time, and how fast they start, over the whole fleet, whatever the broker. Jobs name it as
 * their `limit`; several may share one. With a `key`, for example the tenant, the keys take turns, and each may have a limit of
 * its own. The values are those of the workers' code, until an operator sets others (`errand.limits.set`).
 *
 * @throws `E_LIMIT` for values that cannot be, `E_NAME`, `E_DURATION`, `E_OPTION`
 * @example
 * export const mailApi = defineLimit({
 *   name: 'mail-api',
 *   key: (p: { tenant: string }) => p.tenant,
 *   concurrency: { total: 50, perKey: 5 },
 *   rate: { perKey: { max: 100, per: '1m', burst: 20 } },
 * })
 */
export function defineLimit<In = unknown>(
  limit: {
    /** Letters, digits and `. _ : / -`, at most 128. The log keeps the limit by it. */
    readonly name: string
    /** Whose turn it is: text of at most 512 characters. */
    readonly key?: ((payload: In) => string) | undefined
  } & LimitOptions,
): LimitDefinition<In> {
  if (typeof limit !== 'object' || limit === null)
    throw new ErrandError('E_OPTION', `defineLimit() takes an object, not ${describe(limit)}`)
  const name = checkLimitName(limit.name)
  const what = `defineLimit('${name}')`
  checkOptions(what, limit, ['name', 'key', ...limitOptionNames])
  if (limit.key !== undefined) checkFunction(`${what}: key`, limit.key)
  const values = resolveValues(what, limit)
  if (Object.keys(values).length === 0)
    throw new ErrandError('E_LIMIT', `${what} limits nothing; give it concurrency or rate`)
  if (limit.key === undefined && (values.perKey !== undefined || values.keyRate))
    throw new ErrandError('E_LIMIT', `${what} has perKey, but no key; give it a key, or say total`)
  const resolved: ResolvedLimit = Object.freeze({ name, key: limit.key as ResolvedLimit['key'], values })
  const definition = { name } as LimitDefinition<In>
  return Object.freeze(Object.defineProperty(definition, resolvedKey, { value: resolved }))
}

export const limitOptionNames: readonly string[] = ['concurrency', 'rate']

/** @throws `E_LIMIT`, `E_DURATION`, `E_OPTION` */
export function resolveValues(what: string, { concurrency, rate }: LimitOptions): LimitValues {
  const [total, perKey] = split(`${what}: concurrency`, concurrency, 'number')
  const [inAll, ofKey] = split(`${what}: rate`, rate, 'max')
  return withoutUndefined({
    total: total === undefined ? undefined : checkCount(`${what}: concurrency`, total),
    perKey: perKey === undefined ? undefined : checkCount(`${what}: concurrency.perKey`, perKey),
    rate: inAll === undefined ? undefined : resolveRate(`${what}: rate`, inAll),
    keyRate: ofKey === undefined ? undefined : resolveRate(`${what}: rate.perKey`, ofKey),
  })
}

/** A value of its own is the one in all. */
function split<T>(
  what: string,
  given: T | { readonly total?: T | undefined; readonly perKey?: T | undefined } | undefined,
  own: 'number' | 'max',
): readonly [total: T | undefined, perKey: T | undefined] {
  if (given === undefined) return [undefined, undefined]
  const isOwn = typeof given !== 'object' || given === null || Object.hasOwn(given, own)
  if (isOwn) return [given as T, undefined]
  checkOptions(what, given, ['total', 'perKey'])
  const { total, perKey } = given as { readonly total?: T; readonly perKey?: T }
  return [total, perKey]
}

function checkCount(what: string, count: unknown): number {
  if (Number.isInteger(count) && Number(count) >= 1 && Number(count) <= most) return Number(count)
  throw new ErrandError(
    'E_LIMIT',
    `${what} is ${describe(count)}; it must be a whole number from 1 to ${most}${count === 0 ? ' (to stop all of them, close the limit or pause the queue)' : ''}`,
  )
}

function resolveRate(what: string, rate: RateOptions): Rate {
  checkOptions(what, rate, ['max', 'per', 'burst'])
  const { max, per, burst } = rate
  if (!(Number.isFinite(max) && max > 0))
    throw new ErrandError('E_LIMIT', `${what}.max is ${describe(max)}; it must be a number above 0`)
  const perMs = durationMs(per, `${what}.per`)
  const everyMs = perMs / max
  if (perMs === 0 || everyMs < leastEveryMs)
    throw new ErrandError(
      'E_LIMIT',
      `${what} is ${max} per ${perMs} ms; the time must be above 0, and the rate at most ${1 / leastEveryMs} per ms`,
    )
  if (burst === undefined) return { everyMs, burst: Math.max(1, Math.ceil(1_000 / everyMs)) }
  return { everyMs, burst: checkInteger(`${what}.burst`, burst, 1, mostBurst) }
}

function withoutUndefined(values: LimitValues): LimitValues {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

/** @throws `E_OPTION` when it was not made by `defineLimit`. */
export function resolvedLimit(limit: LimitDefinition<never>): ResolvedLimit {
  const resolved = typeof limit === 'object' && limit !== null ? Reflect.get(limit, resolvedKey) : undefined
  if (resolved) return resolved as ResolvedLimit
  throw new ErrandError(
    'E_OPTION',
    `a limit is ${describe(limit)}; pass what defineLimit() returned (is it exported, and imported by its right name?)`,
  )
}
