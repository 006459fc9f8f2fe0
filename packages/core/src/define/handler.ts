import type { Duration } from '../duration.ts'
import type { Failure } from '../failure/failure.ts'
import { ErrandError } from '../errors.ts'
import type { ChildFlowOptions, ChildOptions, Dispatch, Receipt } from '../dispatch/request.ts'
import type { Logger } from '../logging.ts'
import { checkFunction, checkInteger, checkOptions, describe } from '../options.ts'
import type { Transaction } from '../ports/transaction.ts'
import { resolvedJob } from './job.ts'
import type { AnyJob, JobDefinition, JobRequest } from './job.ts'
import type { NeedReaders, NoNeeds } from './need.ts'
import type { Tick } from './schedule.ts'
import type { Call, Receive, RunStep, Sleep } from './step.ts'
import type { JobView } from './view.ts'

export type Maybe<T> = T | Promise<T>

/**
 * How a job is done. Payload first, as in dispatch. It returns nothing, or the value if the job has `returns`, or
 * an outcome made by `ctx`. A throw is an error and follows the job's retry policy.
 */
export type Handler<Out, Result, N = NoNeeds> = (
  payload: Out,
  ctx: Context<Result, N>,
) => [Result] extends [undefined] ? unknown : Maybe<Result | Outcome>

/** What a handler knows about its run, and may do with it. Its functions need no `this`, so you may destructure it. */
export interface Context<Result = unknown, N = NoNeeds> {
  readonly job: JobView
  /**
   * Reads what the job needs, by the names of its definition: the result of one, the results of the members of a flow (`many`), or how
   * one ended (`ended`).
   * @throws `E_CODEC` for a result that this process cannot read
   * @example const { cents } = await ctx.needs.sales()
   * @example for await (const { index, result } of ctx.needs.pages()) add(index, result.url)
   */
  readonly needs: NeedReaders<N>
  /** The flow that it is a member of, if it is. */
  readonly flow: ContextFlow | undefined
  /** The moment for which it was dispatched, if a schedule did it. */
  readonly tick: Tick | undefined
  /** The limit of the job, if it has one. */
  readonly limit: ContextLimit | undefined
  /**
   * The fencing token: counts every start of the job from 1, and is never reset or repeated. Pass it to systems that can
   * refuse a smaller number than they have seen, so that a run that outlived its claim cannot overwrite a later one.
   */
  readonly run: number
  /** Runs that count, this one included: 1 for the first. */
  readonly attempt: number
  readonly maxAttempts: number
  /** The same for all runs of a job (a replay of a succeeded job appends `#n`). Pass it to systems that must not act twice. */
  readonly idempotencyKey: string
  /** The run must end now. The reason is an ErrandError: `E_TIMEOUT`, `E_CANCELLED`, `E_CLAIM_LOST` or `E_SHUTDOWN`. */
  readonly signal: AbortSignal
  /** The worker wants to stop: save your place and `return ctx.release()`. */
  readonly stopping: AbortSignal
  /** The worker's logger, with `job` (the id), `jobName` and `attempt` in every line. */
  readonly log: Logger
  /** Records progress, for people: `value` in any range, such as 0 to 1 or 0 to 100. At most one a second reaches the log, and the last one before the run's end. */
  readonly progress: (value: number, message?: string) => void
  /**
   * Dispatches a child: `meta` is passed on, and this job is recorded as its parent. If a later run of this job
   * dispatches the same child again, it gets `duplicate` and the id of the existing child, as long as the log keeps
   * it. The same child has the same name, ordering key, unique key and payload, and is the same repetition in its run.
   * `once` names a child whose payload differs from run to run. `each: 'run'` makes a new child in each run.
   * @example await ctx.dispatch(sendReport, { at: new Date().toISOString() }, { once: 'report' })
   */
  readonly dispatch: Dispatch<ChildOptions, ChildFlowOptions>
  /**
   * Completes the job inside a transaction of your own, so that your writes and the completion commit together. It
   * throws `E_CLAIM_LOST`, and so rolls the transaction back, when this run's claim is no longer valid.
   * @example await db.transaction(async (tx) => { await tx.insert(…); await ctx.complete({ tx }) })
   */
  complete(
    completion: { readonly tx: Transaction } & ([Result] extends [undefined]
      ? unknown
      : { readonly result: Result }),
  ): Promise<void>
  readonly step: RunStep
  readonly sleep: Sleep
  readonly receive: Receive
  readonly call: Call
  /**
   * For middleware: what `next()` resolves with when the handler waits, and the run ends as `suspended`. Its `finally` runs
   * then as always; a later run calls it anew.
   */
  readonly suspended: Outcome
  /** Ends this attempt as an error: the job runs again after `after`, or after the policy's backoff. It counts as an attempt. */
  readonly retry: (options?: {
    readonly after?: Duration | undefined
    readonly reason?: string | undefined
  }) => Outcome
  /** Runs again after the delay; it does not count as an attempt. */
  readonly snooze: (delay: Duration, reason?: string) => Outcome
  /** Fails for good. */
  readonly fail: (reason: string | Error) => Outcome
  readonly cancel: (reason?: string) => Outcome
  /** Gives the job back, ready for another worker; it does not count as an attempt. */
  readonly release: () => Outcome
}

/** What a handler may do with the flow of its job. */
export interface ContextFlow {
  readonly id: string
  /**
   * Adds members to the flow, which cannot end while this job runs. A later run of this job that adds the same members again gets
   * `duplicate`, as with `dispatch`. Receipts come in the order of the requests.
   * @throws `E_FLOW_ENDED` if it is being cancelled; `E_FLOW_DUPLICATE`, `E_FLOW_TOO_LARGE` (20,000 in one call), and as `dispatch`
   * @example await ctx.flow?.add(rows.map((row) => importRow.with(row)))
   */
  readonly add: (
    requests: readonly JobRequest<unknown>[],
    options?: { readonly tx?: Transaction | undefined },
  ) => Promise<readonly Receipt<unknown>[]>
}

/** What a handler may do with the limit of its job. */
export interface ContextLimit {
  readonly name: string
  /**
   * No job of the same key (of the limit, if it has no keys) starts for so long, in the whole fleet. What runs goes on. A longer
   * closing stays.
   * @throws `E_DURATION`, `E_LOG_UNREACHABLE`
   * @example
   * if (response.status === 429) {
   *   await ctx.limit?.close('30s', 'the API asks us to wait')
   *   return ctx.snooze('30s')
   * }
   */
  readonly close: (duration: Duration, reason?: string) => Promise<void>
}

declare const outcome: unique symbol
/** Made by `ctx.retry`, `snooze`, `fail`, `cancel` or `release`. The handler must return it; otherwise the run is an error. */
export interface Outcome {
  readonly [outcome]: true
}

/** Wraps handlers: call `next()` once and return its result. */
export type Middleware = (ctx: Context, next: () => Promise<unknown>) => Promise<unknown>

export interface HandleOptions<Out> {
  /** Around this handler, inside the worker's middleware. */
  readonly middleware?: readonly Middleware[] | undefined
  /** Called once when the job has failed for good, also if another process recorded it. */
  readonly failed?: ((payload: Out, error: Failure, job: JobView) => Maybe<void>) | undefined
  /**
   * A whole number. Raise it when the code can no longer go on from what older code has remembered. A worker whose number is
   * lower leaves a job alone that a higher one has remembered something of. Default 0.
   */
  readonly memoryVersion?: number | undefined
}

/** A job with the function that does it. */
export interface JobHandler {
  readonly job: AnyJob
}

/** A handler with its options checked; only core reads it. */
export interface ResolvedHandler {
  readonly job: AnyJob
  readonly handler: (payload: unknown, ctx: Context) => unknown
  readonly middleware: readonly Middleware[]
  readonly failed: ((payload: unknown, error: Failure, job: JobView) => Maybe<void>) | undefined
  readonly memoryVersion: number | undefined
}

const resolvedKey: unique symbol = Symbol.for('@errand/core:handler') as never

/**
 * Says how a job is done.
 * @throws `E_OPTION` when `job` was not made by `defineJob`, the handler is not a function, or an option is unknown.
 * @example handle(makeThumbnail, async ({ file, width }, ctx) => ({ path: await resize(file, width, ctx.signal) }))
 */
export function handle<In, Out, Result, N>(
  job: JobDefinition<In, Out, Result, N>,
  handler: Handler<NoInfer<Out>, NoInfer<Result>, NoInfer<N>>,
  options?: HandleOptions<NoInfer<Out>>,
): JobHandler {
  const { name } = resolvedJob(job)
  checkFunction(`handle('${name}') handler`, handler)
  if (options !== undefined)
    checkOptions(`handle('${name}')`, options, ['middleware', 'failed', 'memoryVersion'])
  if (options?.failed !== undefined) checkFunction(`handle('${name}') failed`, options.failed)
  const memoryVersion =
    options?.memoryVersion === undefined
      ? undefined
      : checkInteger(`handle('${name}') memoryVersion`, options.memoryVersion, 0, 32_767)
  const resolved: ResolvedHandler = Object.freeze({
    job,
    handler: handler as ResolvedHandler['handler'],
    middleware: checkMiddleware(`handle('${name}')`, options?.middleware),
    failed: options?.failed as ResolvedHandler['failed'],
    memoryVersion,
  })
  return Object.freeze(Object.defineProperty({ job }, resolvedKey, { value: resolved }))
}

/** @throws `E_OPTION` when it was not made by `handle`. */
export function resolvedHandler(handler: JobHandler): ResolvedHandler {
  const resolved =
    typeof handler === 'object' && handler !== null ? Reflect.get(handler, resolvedKey) : undefined
  if (resolved) return resolved as ResolvedHandler
  throw new ErrandError('E_OPTION', `a handler is ${describe(handler)}; pass what handle(job, …) returned`)
}

/** @throws `E_OPTION` unless it is a list of functions, or nothing. */
export function checkMiddleware(
  what: string,
  middleware: readonly Middleware[] | undefined,
): readonly Middleware[] {
  if (middleware === undefined) return []
  if (!Array.isArray(middleware)) throw new ErrandError('E_OPTION', `${what} middleware must be a list`)
  for (const [index, each] of middleware.entries()) checkFunction(`${what} middleware[${index}]`, each)
  return Object.freeze([...(middleware as readonly Middleware[])])
}
