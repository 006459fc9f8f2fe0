import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import type { Failure } from '../failure/failure.ts'
import type { OnCrash, OnFailure } from '../job/job.ts'
import type { Lane } from '../job/lane.ts'
import { checkOptions, describe } from '../options.ts'
import type { Backoff } from '../retry/backoff.ts'
import type { Carried, CarriedResult, InputOf, OutputOf } from './carried.ts'
import type { LimitDefinition } from './limit.ts'
import type { Needed, EndedNeed, NeedRefs, Needs, NoNeeds } from './need.ts'
import { resolvePolicy } from './policy.ts'
import type { ResolvedJob } from './policy.ts'

declare const types: unique symbol

/** What may be done: a name, the payload and result, what it needs, and the policy. No handler, no connection. */
export interface JobDefinition<In, Out, Result, N = NoNeeds> {
  readonly name: string
  readonly queue: string
  readonly [types]?: {
    readonly in: (payload: In) => void
    readonly out: Out
    readonly result: Result
    readonly needs: N
  }
  /** The job as a value, with its payload and options: for `dispatchMany`, `chain` and `batch`. */
  with(payload: In, ...options: OptionsWithNeeds<N, JobOptions>): JobRequest<Result>
}

/** The options of a job with needs are not left out: they say what it needs. */
export type OptionsWithNeeds<N, Options> = [keyof N] extends [never]
  ? [options?: Options]
  : [options: Options & { readonly needs: NeedRefs<N> }]

/** A definition with any payload, result and needs. */
export interface AnyJob {
  readonly name: string
  readonly queue: string
  readonly [types]?: {
    readonly in: (payload: never) => void
    readonly out: unknown
    readonly result: unknown
    readonly needs: unknown
  }
  with(...args: never): JobRequest<unknown>
}

/** What a job of this definition returns. */
export type ResultOf<J> = J extends { readonly [types]?: { readonly result: infer Result } } ? Result : never

/** A job as a value: made by `job.with(payload, options)`. */
export interface JobRequest<Result> {
  readonly job: AnyJob
  readonly [types]?: Result
}

/** How a job runs, unless a dispatch says otherwise. Functions get the payload as it was passed to `dispatch`. */
export interface JobPolicy<In> {
  /** The log keeps it as long as the job, so it is explicit: letters, digits and `. _ : / -`, at most 128. */
  readonly name: string
  /** The queue in which it waits. Default `'default'`. */
  readonly queue?: string | undefined
  /** Its priority in the queue. Default `'normal'`. */
  readonly lane?: Lane | undefined
  /**
   * How long one run may take. Then `ctx.signal` aborts and the run is an error. Default 15 minutes.
   * With `'none'` a run may take any time. Only the worker's lease then tells a slow run from a dead one.
   */
  readonly timeout?: Duration | 'none' | undefined
  readonly retry?:
    | {
        /** Attempts, the first included. Default 5. */
        readonly attempts?: number | undefined
        /** How long to wait after a failed attempt. Default `exponential('1s', { max: '15m' })`, with full jitter. */
        readonly backoff?: Backoff | undefined
        /** No retry begins later than this after the dispatch. Default: no end. */
        readonly until?: Duration | undefined
        /** Whether to try again after this error; false fails the job for good. Default: always. */
        readonly when?: ((error: Failure) => boolean) | undefined
      }
    | undefined
  /** How many runs may be lost, because the worker died or lost its lease. Counted apart from attempts. Default 3. */
  readonly crashes?: number | undefined
  /** `'fail'`: never start it again after a start whose end is unknown. Default `'retry'`. */
  readonly onCrash?: OnCrash | undefined
  /**
   * Jobs of one queue with the same key run one at a time, in the order of their dispatch. A job that is delayed or waits
   * for its retry keeps the key, and the jobs behind it wait too.
   */
  readonly order?:
    | {
        readonly key: (payload: In) => string
        /** When one fails for good: `'block'` (default) keeps the key until an operator replays or skips it; `'skip'` passes it on. */
        readonly onFailure?: OnFailure | undefined
      }
    | undefined
  /** While the key is held, another dispatch of this job is a duplicate: its receipt names the job that holds it. */
  readonly unique?:
    | {
        readonly key: (payload: In) => string
        /** Held until the job has `'finished'` (default) or `'started'`. Failed and cancelled jobs free it. */
        readonly until?: 'finished' | 'started' | undefined
        /** If the job succeeds, the key is held at least this long after the dispatch. */
        readonly for?: Duration | undefined
        /**
         * Instead of being a duplicate, a dispatch replaces the payload of the job that waits, and puts it off: it runs once
         * nothing was dispatched for `wait`, and at the latest `atMost` after the first dispatch. The key is held until it has
         * started. Not with `until`, `for`, or a dispatch's `delay` or `at`.
         */
        readonly debounce?: { readonly wait: Duration; readonly atMost: Duration } | undefined
      }
    | undefined
  /**
   * Jobs of one queue and lane take turns by this key, also those of different names: a key with one job waits for one job
   * of each other key, however many of them wait. Within a key older jobs go first. A job that is tried again, or was
   * delayed, takes its turn when it is due. Without it jobs start in the order of their dispatch.
   * @example share: (p) => p.tenant
   */
  readonly share?: ((payload: In) => string) | undefined
  /** How many of its jobs run at a time, and how fast they start, over the whole fleet: made by `defineLimit`. */
  readonly limit?: LimitDefinition<In> | undefined
  /** Words to find the job by, in the log and in events. At most 32, of at most 512 characters. */
  readonly tags?: ((payload: In) => readonly string[]) | undefined
}

/** What one dispatch may say, over the definition's policy. */
export type JobOptions = {
  /** A UUID of your own. Dispatching the same id again is safe: it is a duplicate. Default: a new UUIDv7. */
  readonly id?: string | undefined
  readonly lane?: Lane | undefined
  readonly queue?: string | undefined
  /** In place of `order.key(payload)`. */
  readonly orderingKey?: string | undefined
  /** In place of `unique.key(payload)`. */
  readonly uniqueKey?: string | undefined
  /** In place of `share(payload)`. */
  readonly shareKey?: string | undefined
  /** In place of the limit's `key(payload)`. */
  readonly limitKey?: string | undefined
  /** In addition to those of the definition. */
  readonly tags?: readonly string[] | undefined
  /** For example trace, tenant or locale. The jobs that its handler dispatches get it too. */
  readonly meta?: Readonly<Record<string, string>> | undefined
  /**
   * It starts after these have succeeded, and is cancelled if one fails or is cancelled; `ended(…)` waits for the end alone. Jobs and
   * flows of the same flow, receipts, or ids. (Handlers get no results of them; the `after` hook of a worker is something else.)
   */
  readonly after?: readonly (Needed | EndedNeed<Needed>)[] | undefined
} & (
  | {
      /** Due this long after the dispatch, by the log's clock. */
      readonly delay?: Duration | undefined
      readonly at?: never
    }
  | {
      /** Due at this moment, in the years 1 to 9999. */
      readonly at?: Date | undefined
      readonly delay?: never
    }
)

/** What `with()` keeps; only core reads it. */
export interface RequestOfJob extends JobRequest<unknown> {
  readonly payload: unknown
  readonly options: (JobOptions & { readonly needs?: Readonly<Record<string, unknown>> }) | undefined
}

// A registered symbol, not a WeakMap: two copies of this package in one application still know each other's jobs.
const resolvedKey: unique symbol = Symbol.for('@errand/core:job') as never

/**
 * Defines a job: what dispatchers and workers share.
 *
 * The payload's schema is any Standard Schema (zod, valibot, arktype, …). Its *input* is what is stored, validated at
 * dispatch and parsed again in the worker; an input that JSON cannot carry (Date, Map, bigint) does not compile.
 * `returns` is the schema of the handler's result. `needs` names jobs that must have succeeded before it starts; its handler reads their
 * results with `ctx.needs`, and every dispatch says which ones: `many(job)` is a flow of them, `ended(job)` one that may fail.
 *
 * @throws `E_NAME` for an empty or malformed name or queue, `E_DURATION` for a bad duration, `E_OPTION` for an unknown
 * option or a wrong value.
 * @example
 * export const makeThumbnail = defineJob({
 *   name: 'media.make-thumbnail',
 *   queue: 'media',
 *   timeout: '30s',
 *   payload: z.object({ file: z.string(), width: z.number().int().positive().default(320) }),
 *   returns: z.object({ path: z.string() }),
 *   unique: { key: (p) => p.file },
 *   retry: { attempts: 5, backoff: exponential('1s', { max: '10m' }) },
 * })
 */
export function defineJob<
  const S extends StandardSchemaV1 | undefined = undefined,
  const R extends StandardSchemaV1 | undefined = undefined,
  const N extends Needs = NoNeeds,
>(
  job: { readonly payload?: S; readonly returns?: R; readonly needs?: N } & JobPolicy<NoInfer<InputOf<S>>> &
    (S extends StandardSchemaV1 ? Carried<S> : unknown) &
    (R extends StandardSchemaV1 ? CarriedResult<R> : unknown),
): JobDefinition<InputOf<S>, OutputOf<S>, OutputOf<R, undefined>, N> {
  const resolved = resolvePolicy(job)
  const definition = {
    name: resolved.name,
    queue: resolved.queue,
    with: (payload: InputOf<S>, options?: JobOptions) => makeRequest(definition, payload, options),
  } as JobDefinition<InputOf<S>, OutputOf<S>, OutputOf<R, undefined>, N>
  Object.defineProperty(definition, resolvedKey, { value: resolved })
  return Object.freeze(definition)
}

function makeRequest(job: AnyJob, payload: unknown, options: JobOptions | undefined): JobRequest<never> {
  if (options !== undefined) checkOptions(`${job.name}.with(payload, options)`, options, jobOptionNames)
  const request: Omit<RequestOfJob, typeof types> = { job, payload, options }
  return Object.freeze(request)
}

export const jobOptionNames: readonly string[] = [
  'id',
  'lane',
  'queue',
  'orderingKey',
  'uniqueKey',
  'shareKey',
  'limitKey',
  'tags',
  'meta',
  'delay',
  'at',
  'after',
  'needs',
]

/** The definition with every default applied. @throws `E_OPTION` when it was not made by `defineJob`. */
export function resolvedJob(job: AnyJob): ResolvedJob {
  const resolved = typeof job === 'object' && job !== null ? Reflect.get(job, resolvedKey) : undefined
  if (resolved) return resolved as ResolvedJob
  throw new ErrandError(
    'E_OPTION',
    `the job is ${describe(job)}; pass what defineJob() returned (is it exported, and imported by its right name?)`,
  )
}
