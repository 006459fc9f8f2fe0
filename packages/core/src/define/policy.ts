import type { StandardSchemaV1 } from '@standard-schema/spec'
import { jobDefaults } from '../config/defaults.ts'
import { durationMs } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import type { Failure } from '../failure/failure.ts'
import type { Debounce, OnCrash, OnFailure } from '../job/job.ts'
import { lanes } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import type { QueueName } from '../job/ticket.ts'
import { checkJobName, checkQueueName } from '../names.ts'
import { checkFunction, checkInteger, checkOneOf, checkOptions, describe } from '../options.ts'
import { exponential } from '../retry/backoff.ts'
import type { Backoff } from '../retry/backoff.ts'
import { checkSchema } from '../schema.ts'
import type { JobPolicy } from './job.ts'
import { resolvedLimit } from './limit.ts'
import type { ResolvedLimit } from './limit.ts'
import { resolveNeeds } from './need.ts'
import type { ResolvedNeed } from './need.ts'

/** A definition with every default applied, checked and frozen. */
export interface ResolvedJob {
  readonly name: string
  readonly queue: QueueName
  readonly lane: Lane
  readonly payload: StandardSchemaV1 | undefined
  readonly returns: StandardSchemaV1 | undefined
  readonly payloadVersion: number
  /** Null: unlimited. */
  readonly timeoutMs: number | null
  readonly retry: {
    readonly attempts: number
    readonly backoff: Backoff
    readonly untilMs: number | undefined
    readonly when: ((error: Failure) => boolean) | undefined
  }
  readonly crashes: number
  readonly onCrash: OnCrash
  readonly order: { readonly key: (payload: unknown) => string; readonly onFailure: OnFailure } | undefined
  readonly unique:
    | {
        readonly key: (payload: unknown) => string
        readonly until: 'finished' | 'started'
        readonly forMs: number | undefined
        readonly debounce: Debounce | undefined
      }
    | undefined
  readonly share: ((payload: unknown) => string) | undefined
  readonly limit: ResolvedLimit | undefined
  readonly tags: ((payload: unknown) => readonly string[]) | undefined
  /** Undefined: it needs nothing by name. */
  readonly needs: readonly ResolvedNeed[] | undefined
}

type AnyPolicy = JobPolicy<never> & {
  readonly payload?: unknown
  readonly returns?: unknown
  readonly needs?: unknown
}

const known: readonly string[] = [
  'name',
  'queue',
  'lane',
  'payload',
  'returns',
  'timeout',
  'retry',
  'crashes',
  'onCrash',
  'order',
  'unique',
  'share',
  'limit',
  'tags',
  'needs',
]
const mostAttempts = 1_000_000

export function resolvePolicy(policy: AnyPolicy): ResolvedJob {
  if (typeof policy !== 'object' || policy === null) {
    throw new ErrandError('E_OPTION', `defineJob() takes an object, not ${describe(policy)}`)
  }
  const name = checkJobName(policy.name)
  const at = `defineJob('${name}')`
  checkOptions(at, policy, known)
  return Object.freeze({
    name,
    queue: checkQueueName(policy.queue ?? jobDefaults.queue),
    lane: checkOneOf(`${at} lane`, policy.lane ?? jobDefaults.lane, lanes),
    payload: resolveSchema(`${at} payload`, policy.payload),
    returns: resolveSchema(`${at} returns`, policy.returns),
    payloadVersion: jobDefaults.payloadVersion,
    timeoutMs: resolveTimeout(at, policy.timeout),
    retry: resolveRetry(at, policy.retry),
    crashes: checkInteger(`${at} crashes`, policy.crashes ?? jobDefaults.crashes, 1, mostAttempts),
    onCrash: checkOneOf(`${at} onCrash`, policy.onCrash ?? jobDefaults.onCrash, ['retry', 'fail']),
    order: resolveOrder(at, policy.order),
    unique: resolveUnique(at, policy.unique),
    share: checkOptionalFunction(`${at} share`, policy.share) as ResolvedJob['share'],
    limit: policy.limit === undefined ? undefined : resolvedLimit(policy.limit),
    tags: checkOptionalFunction(`${at} tags`, policy.tags) as ResolvedJob['tags'],
    needs: resolveNeeds(at, policy.needs),
  })
}

function resolveSchema(what: string, schema: unknown): StandardSchemaV1 | undefined {
  if (schema === undefined) return undefined
  checkSchema(what, schema)
  return schema
}

function checkOptionalFunction<T>(what: string, value: T): T {
  if (value !== undefined) checkFunction(what, value)
  return value
}

function resolveTimeout(at: string, timeout: AnyPolicy['timeout']): number | null {
  if (timeout === 'none') return null
  if (timeout === Number.POSITIVE_INFINITY) {
    throw new ErrandError('E_DURATION', `${at} timeout is Infinity; ask for no timeout with 'none'`)
  }
  const ms = durationMs(timeout ?? jobDefaults.timeoutMs, `${at} timeout`)
  if (ms === 0) throw new ErrandError('E_DURATION', `${at} timeout is 0; ask for no timeout with 'none'`)
  return ms
}

function resolveRetry(at: string, retry: AnyPolicy['retry']): ResolvedJob['retry'] {
  if (retry !== undefined) checkOptions(`${at} retry`, retry, ['attempts', 'backoff', 'until', 'when'])
  const { attempts, backoff, until, when } = retry ?? {}
  return Object.freeze({
    attempts: checkInteger(`${at} retry.attempts`, attempts ?? jobDefaults.attempts, 1, mostAttempts),
    backoff: checkOptionalFunction(`${at} retry.backoff`, backoff) ?? defaultBackoff,
    untilMs: until === undefined ? undefined : durationMs(until, `${at} retry.until`),
    when: checkOptionalFunction(`${at} retry.when`, when),
  })
}

const defaultBackoff = exponential(jobDefaults.backoffBaseMs, { max: jobDefaults.backoffMaxMs })

function resolveOrder(at: string, order: AnyPolicy['order']): ResolvedJob['order'] {
  if (order === undefined) return undefined
  checkOptions(`${at} order`, order, ['key', 'onFailure'])
  checkFunction(`${at} order.key`, order.key)
  const onFailure = order.onFailure ?? jobDefaults.orderOnFailure
  return Object.freeze({
    key: order.key as (payload: unknown) => string,
    onFailure: checkOneOf(`${at} order.onFailure`, onFailure, ['block', 'skip']),
  })
}

function resolveUnique(at: string, unique: AnyPolicy['unique']): ResolvedJob['unique'] {
  if (unique === undefined) return undefined
  checkOptions(`${at} unique`, unique, ['key', 'until', 'for', 'debounce'])
  checkFunction(`${at} unique.key`, unique.key)
  const debounce = resolveDebounce(`${at} unique`, unique)
  const until = debounce ? 'started' : (unique.until ?? jobDefaults.uniqueUntil)
  return Object.freeze({
    key: unique.key as (payload: unknown) => string,
    until: checkOneOf(`${at} unique.until`, until, ['finished', 'started']),
    forMs: unique.for === undefined ? undefined : durationMs(unique.for, `${at} unique.for`),
    debounce,
  })
}

function resolveDebounce(
  at: string,
  { debounce, until, for: least }: NonNullable<AnyPolicy['unique']>,
): Debounce | undefined {
  if (debounce === undefined) return undefined
  const what = `${at}.debounce`
  checkOptions(what, debounce, ['wait', 'atMost'])
  if (until !== undefined || least !== undefined)
    throw new ErrandError(
      'E_OPTION',
      `${what} holds the key until the job has started; leave out ${until === undefined ? 'for' : 'until'}`,
    )
  const waitMs = durationMs(debounce.wait, `${what}.wait`)
  const atMostMs = durationMs(debounce.atMost, `${what}.atMost`)
  if (waitMs === 0 || atMostMs < waitMs)
    throw new ErrandError(
      'E_OPTION',
      `${what} waits ${waitMs} ms, and at most ${atMostMs} ms; wait must be above 0, and atMost no shorter than wait`,
    )
  return Object.freeze({ waitMs, atMostMs })
}
