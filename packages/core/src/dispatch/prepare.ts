import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Settings } from '../config/defaults.ts'
import { toEdges } from '../define/flow-body.ts'
import { jobOptionNames, resolvedJob } from '../define/job.ts'
import type { ResolvedJob } from '../define/policy.ts'
import { durationMs } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import type { Debounce, NewJob } from '../job/job.ts'
import type { NewNeed } from '../job/need.ts'
import { lanes } from '../job/lane.ts'
import { toJson } from '../json.ts'
import { momentMs } from '../moment.ts'
import { checkQueueName } from '../names.ts'
import { checkOneOf, checkOptions } from '../options.ts'
import { asPayload } from '../ports/codec.ts'
import type { Codec, Encoded } from '../ports/codec.ts'
import { describeIssues, parseSyncWith } from '../schema.ts'
import type { Parsed } from '../schema.ts'
import { checkKey, keyFrom, mergeMeta, mergeTags } from './keys.ts'
import type { DispatchOptions, DispatchRequest, Parent } from './request.ts'
import { checkTransaction } from './transaction.ts'

export interface PrepareDeps {
  readonly settings: Settings
  readonly codec: Codec
  readonly newId: () => string
  /** The request's own meta overrides it. */
  readonly meta?: Readonly<Record<string, string>> | undefined
}

const optionNames: readonly string[] = [...jobOptionNames, 'tx']
const childOptionNames: readonly string[] = [...optionNames, 'once', 'each']
const noOptions: NonNullable<DispatchRequest['options']> = Object.freeze({})
/** The JSON of a job without a payload. */
const nothing = 'null'

/**
 * Checks a request and turns it into what the log takes. It is synchronous unless the schema or the codec is asynchronous, so
 * that dispatches that are not awaited one by one reach the log in the order of their calls.
 * @throws `E_OPTION`, `E_ID`, `E_NAME`, `E_KEY`, `E_DURATION`, `E_TRANSACTION`, `E_PAYLOAD_INVALID`,
 * `E_PAYLOAD_NOT_SERIALIZABLE`, `E_PAYLOAD_TOO_LARGE`, `E_NEED_LIMIT`, `E_CALL_DEADLOCK`
 * @param planned its needs are known: it is a job of a flow
 */
export function prepare(
  { job, payload, options = noOptions }: DispatchRequest,
  parent: Parent | undefined,
  { settings, codec, newId, meta }: PrepareDeps,
  planned = false,
): NewJob | Promise<NewJob> {
  const policy = resolvedJob(job)
  const what = policy.name
  if (options !== noOptions)
    checkOptions(`dispatch(${what}) options`, options, parent ? childOptionNames : optionNames)
  if (options.tx !== undefined) checkTransaction(options.tx)

  const json = toPayloadJson(policy, payload)
  const bytes = Buffer.byteLength(json)
  if (bytes > settings.payloadLimitBytes) {
    throw new ErrandError(
      'E_PAYLOAD_TOO_LARGE',
      `the payload of ${what} is ${bytes} bytes; the limit is ${settings.payloadLimitBytes} (raise payloadLimit, or store it elsewhere and pass a reference)`,
    )
  }
  const ordering = resolveOrdering(policy, payload, options)
  const unique = resolveUnique(policy, payload, options)
  const prepared: Prepared = {
    id:
      options.id === undefined
        ? (parent?.childId?.({ name: what, orderingKey: ordering?.key, uniqueKey: unique?.key, json }) ??
          newId())
        : checkId(options.id),
    name: policy.name,
    payloadVersion: policy.payloadVersion,
    queue: options.queue === undefined ? policy.queue : checkQueueName(options.queue),
    lane: options.lane === undefined ? policy.lane : checkOneOf(`lane of ${what}`, options.lane, lanes),
    payload: notEncoded,
    tags: mergeTags(what, policy.tags, payload, options.tags),
    meta: mergeMeta(what, meta ? { ...meta, ...options.meta } : options.meta, parent?.meta),
    ordering,
    unique,
    shareKey: resolveShare(policy, payload, options),
    limit: resolveLimit(policy, payload, options),
    due: resolveDue(what, options, policy.unique?.debounce),
    expiresMs: policy.retry.untilMs,
    parentId: parent?.id,
    maxAttempts: policy.retry.attempts,
    maxCrashes: policy.crashes,
    onCrash: policy.onCrash,
    timeoutMs: policy.timeoutMs,
    // With `tx` only the sweep sees the commit, and it then publishes at once.
    publishGraceMs: options.tx === undefined ? settings.publishGraceMs : 0,
  }
  if (parent?.waitingWith) checkCalled(prepared, parent.waitingWith)
  if (!planned && (policy.needs || options !== noOptions)) addNeeds(prepared, policy, options)
  const validated = validate(policy, json)
  const encoded = validated ?? codec.encode(json, asPayload(prepared))
  if (encoded instanceof Promise) return finishLater(prepared, json, codec, encoded)
  prepared.payload = encoded
  return prepared
}

/** @throws `E_CALL_DEADLOCK` if the job would stand behind the one that waits for it */
function checkCalled({ name, queue, ordering }: Prepared, caller: NonNullable<Parent['waitingWith']>): void {
  if (queue !== caller.queue || ordering?.key !== caller.orderingKey) return
  throw new ErrandError(
    'E_CALL_DEADLOCK',
    `${name} has the ordering key of the job that calls it, which keeps that key while it waits, so neither would go on; pass another orderingKey or queue to ctx.call, or do the work in a step`,
  )
}

/** One object from the beginning: a copy with the payload would be as much garbage as all the rest. */
type Prepared = Omit<NewJob, 'payload' | 'needs'> & { payload: Encoded; needs?: readonly NewNeed[] }
const notEncoded: Encoded = { codec: '', text: '' }

/** Most jobs have none, and then nothing is set. */
function addNeeds(prepared: Prepared, { name, needs }: ResolvedJob, options: NeedOptions): void {
  if (!needs && options.after === undefined && options.needs === undefined) return
  const edges = toEdges(name, needs, options, undefined)
  // Refs are refused where no flow is built, so each is an id.
  if (edges.length > 0) prepared.needs = edges.map((edge) => ({ ...edge, on: edge.on as string }))
}

interface NeedOptions {
  readonly after?: unknown
  readonly needs?: unknown
}

/** @param coming the encoded payload, or nothing once the payload has been validated */
async function finishLater(
  prepared: Prepared,
  json: string,
  codec: Codec,
  coming: Promise<Encoded | void>,
): Promise<NewJob> {
  prepared.payload = (await coming) ?? (await codec.encode(json, asPayload(prepared)))
  return prepared
}

function toPayloadJson(policy: ResolvedJob, payload: unknown): string {
  if (policy.payload === undefined) {
    if (payload === undefined) return nothing
    throw new ErrandError(
      'E_PAYLOAD_INVALID',
      `${policy.name} takes no payload: its definition has no schema for one`,
    )
  }
  if (payload === undefined)
    throw new ErrandError('E_PAYLOAD_INVALID', `the payload of ${policy.name} is missing`)
  const json = toJson(payload, 'payload')
  if ('text' in json) return json.text
  throw new ErrandError(
    'E_PAYLOAD_NOT_SERIALIZABLE',
    `${json.path} of ${policy.name} ${json.problem}; JSON cannot carry it`,
  )
}

/** Checks what is stored: the payload as it will be read back. */
function validate({ name, payload: schema }: ResolvedJob, json: string): void | Promise<void> {
  if (schema === undefined) return undefined
  const parsed = guarded(name, schema, JSON.parse(json))
  return parsed instanceof Promise
    ? parsed.then((each) => refuseIssues(name, each))
    : refuseIssues(name, parsed)
}

function guarded(name: string, schema: StandardSchemaV1, value: unknown): Parsed | Promise<Parsed> {
  const failed = (error: unknown): never => {
    throw new ErrandError('E_PAYLOAD_INVALID', `the payload schema of ${name} threw`, { cause: error })
  }
  try {
    const parsed = parseSyncWith(schema, value)
    return parsed instanceof Promise ? parsed.catch(failed) : parsed
  } catch (error) {
    return failed(error)
  }
}

function refuseIssues(name: string, parsed: Parsed): void {
  if (!parsed.issues) return
  throw new ErrandError(
    'E_PAYLOAD_INVALID',
    `the payload of ${name} does not fit: ${describeIssues(parsed.issues)}`,
  )
}

function resolveOrdering(
  { name, order }: ResolvedJob,
  payload: unknown,
  options: DispatchOptions,
): NewJob['ordering'] {
  const onFailure = order?.onFailure ?? 'block'
  if (options.orderingKey !== undefined) {
    return { key: checkKey(`orderingKey of ${name}`, options.orderingKey), onFailure }
  }
  return order && { key: keyFrom(`order.key of ${name}`, order.key, payload), onFailure }
}

function resolveUnique(
  { name, unique }: ResolvedJob,
  payload: unknown,
  options: DispatchOptions,
): NewJob['unique'] {
  const { until = 'finished', forMs } = unique ?? {}
  if (options.uniqueKey !== undefined) {
    return { key: checkKey(`uniqueKey of ${name}`, options.uniqueKey), until, forMs }
  }
  return unique && { key: keyFrom(`unique.key of ${name}`, unique.key, payload), until, forMs }
}

function resolveShare(
  { name, share }: ResolvedJob,
  payload: unknown,
  { shareKey }: DispatchOptions,
): string | undefined {
  if (shareKey !== undefined) return checkKey(`shareKey of ${name}`, shareKey)
  return share && keyFrom(`share of ${name}`, share, payload)
}

function resolveLimit(
  { name, limit }: ResolvedJob,
  payload: unknown,
  { limitKey }: DispatchOptions,
): NewJob['limit'] {
  if (limitKey !== undefined) {
    if (limit?.key) return { name: limit.name, key: checkKey(`limitKey of ${name}`, limitKey) }
    throw new ErrandError(
      'E_OPTION',
      `${name} is dispatched with limitKey, but ${limit ? `its limit "${limit.name}" has no keys` : 'it has no limit'}; leave it out`,
    )
  }
  if (!limit) return undefined
  const key = limit.key ? keyFrom(`the key of limit ${limit.name} for ${name}`, limit.key, payload) : ''
  return { name: limit.name, key }
}

function resolveDue(
  name: string,
  { delay, at }: DispatchOptions,
  debounce: Debounce | undefined,
): NewJob['due'] {
  if (debounce) {
    if (delay === undefined && at === undefined) return { delayMs: debounce.waitMs }
    throw new ErrandError(
      'E_OPTION',
      `${name} is dispatched with ${delay === undefined ? 'at' : 'delay'}, but unique.debounce says when it is due; leave it out`,
    )
  }
  if (at === undefined) {
    return delay === undefined ? undefined : { delayMs: durationMs(delay, `delay of ${name}`) }
  }
  if (delay !== undefined) {
    throw new ErrandError('E_OPTION', `${name} is dispatched with both delay and at; use one of them`)
  }
  return { at: momentMs(`at of ${name}`, at) }
}
