import type { Context, ContextFlow, ContextLimit, Maybe } from '../../define/handler.ts'
import { seal } from '../../codec/sealed-text.ts'
import { findBody } from '../../define/flow.ts'
import type { AnyJob } from '../../define/job.ts'
import type { ResolvedLimit } from '../../define/limit.ts'
import type { ResolvedJob } from '../../define/policy.ts'
import type { JobView } from '../../define/view.ts'
import { Children } from '../../dispatch/children.ts'
import type { ChildFlowOptions, ChildOptions, Dispatch, DispatchRequest } from '../../dispatch/request.ts'
import { checkTransaction } from '../../dispatch/transaction.ts'
import { durationMs } from '../../duration.ts'
import { toFailure } from '../../failure/to-failure.ts'
import type { Claim, WorkerRef } from '../../job/claim.ts'
import type { Logger } from '../../logging.ts'
import { checkOptions } from '../../options.ts'
import { asResult } from '../../ports/codec.ts'
import type { Progress } from '../../ports/job-log.ts'
import { freeText } from '../../text.ts'
import type { WorkerDeps } from '../deps.ts'
import { never } from '../steps/awaitable.ts'
import { toIdempotencyKey } from '../steps/steps.ts'
import type { Steps } from '../steps/steps.ts'
import { makeNeeds, noNeeds } from './needs.ts'
import type { Outcomes } from './outcome.ts'
import { checkResult } from './result.ts'

/** The run behind a context. */
export interface ContextRun {
  readonly claim: Claim
  readonly view: JobView
  readonly outcomes: Outcomes
  /** Aborts when the run must end. */
  readonly signal: AbortSignal
  /** Its lines name the job. */
  readonly log: Logger
  progress(progress: Maybe<Progress>): void
  /** Resolves when the log knows the newest progress, or does not answer. */
  tellProgress(): Promise<void>
  /** The handler's steps and waits. */
  readonly steps: Pick<Steps, 'step' | 'sleep' | 'receive' | 'call'>
  /** It was left behind, and has ended: what its code does now is not to settle. */
  readonly isAbandoned: boolean
  /** `ctx.complete` is about to write: from now on only the log knows whether the run has succeeded. */
  completing(result: unknown): void
}

export interface ContextParts {
  readonly ref: WorkerRef
  readonly stopping: AbortSignal
  readonly deps: Pick<WorkerDeps, 'log' | 'codec' | 'settings' | 'dispatch' | 'dispatchFlow' | 'addToFlow'>
}

const runKey = Symbol('errand.run')

type Inherited = 'step' | 'sleep' | 'receive' | 'call' | 'suspended'
type Made = Omit<Context, 'job' | 'tick' | 'signal' | 'log' | Inherited> & { readonly [runKey]: ContextRun }

/**
 * These members are made when they are asked for: most handlers never ask, and making them costs more than the
 * handler's call. All contexts share the getters. With getters of its own, each context would be an object of a shape
 * of its own, which takes ten times as long to make.
 */
const lateMembers = {
  job: {
    enumerable: true,
    get(this: Made) {
      return this[runKey].view
    },
  },
  tick: {
    enumerable: true,
    get(this: Made) {
      return this[runKey].view.tick
    },
  },
  signal: {
    enumerable: true,
    get(this: Made) {
      return this[runKey].signal
    },
  },
  log: {
    enumerable: true,
    get(this: Made) {
      return this[runKey].log
    },
  },
} as const

/** The same for what few handlers use. They inherit it, because each member of an object of its own costs every job 150 ns. */
const inherited: Pick<Context, Inherited> & ThisType<Made> = {
  get step() {
    return this[runKey].steps.step
  },
  get sleep() {
    return this[runKey].steps.sleep
  },
  get receive() {
    return this[runKey].steps.receive
  },
  get call() {
    return this[runKey].steps.call
  },
  get suspended() {
    return this[runKey].outcomes.suspended
  },
}

/** What a handler gets. Its functions need no `this`, so they may be destructured. */
export function makeContext(job: ResolvedJob, run: ContextRun, parts: ContextParts): Context {
  const { claim, outcomes } = run
  const { ref, stopping, deps } = parts
  const idempotencyKey = toIdempotencyKey(claim)
  // Made with the first child: most runs dispatch none.
  let children: Children | undefined
  const made: Made & { readonly __proto__: unknown } = {
    __proto__: inherited,
    [runKey]: run,
    needs: job.needs ? makeNeeds(claim.job, job.needs, deps) : noNeeds,
    flow:
      claim.flow === undefined
        ? undefined
        : contextFlow(claim.flow, () => (children ??= makeChildren(claim, idempotencyKey, deps))),
    limit: job.limit && contextLimit(job.limit, claim, parts),
    run: claim.run,
    attempt: claim.attempt,
    maxAttempts: claim.maxAttempts,
    idempotencyKey,
    stopping,
    progress(value, message) {
      if (Number.isFinite(value)) {
        const text = message === undefined ? undefined : seal(deps.codec, freeText(message), claim.id)
        const made = (sealed: string | undefined): Progress => ({
          id: claim.id,
          run: claim.run,
          value,
          message: sealed,
        })
        run.progress(text instanceof Promise ? text.then(made) : made(text))
      } else run.log.warn({ value: String(value) }, 'ctx.progress was called with a value that is no number')
    },
    dispatch: (async (what: AnyJob, payload?: unknown, options?: DispatchRequest['options']) => {
      if (run.isAbandoned) return never
      children ??= makeChildren(claim, idempotencyKey, deps)
      const body = findBody(what)
      return body
        ? children.dispatchFlow(body, payload ?? {})
        : children.dispatch({ job: what, payload, options })
    }) as Dispatch<ChildOptions, ChildFlowOptions>,
    async complete(completion: { readonly tx: unknown; readonly result?: unknown }) {
      const { tx } = completion
      checkTransaction(tx)
      const { resultLimitBytes } = deps.settings
      const { json, value } = await checkResult(job.name, job.returns, completion.result, resultLimitBytes)
      const result = json === undefined ? undefined : await deps.codec.encode(json, asResult(claim.id))
      await run.tellProgress()
      run.completing(value)
      await deps.log.complete({ id: claim.id, run: claim.run }, result, ref, tx)
    },
    retry: ({ after, reason } = {}) => {
      const afterMs = after === undefined ? undefined : durationMs(after, 'ctx.retry({ after })')
      return outcomes.make({ kind: 'retry', afterMs, reason: noteFrom(reason) })
    },
    snooze: (delay, reason) =>
      outcomes.make({
        kind: 'snooze',
        delayMs: durationMs(delay, 'ctx.snooze(delay)'),
        reason: noteFrom(reason),
      }),
    fail: (reason) =>
      outcomes.make({
        kind: 'fail',
        failure:
          typeof reason === 'string'
            ? { name: 'Failed', message: reason, code: 'E_PERMANENT' }
            : toFailure(reason),
      }),
    cancel: (reason) => outcomes.make({ kind: 'cancel', reason: noteFrom(reason) }),
    release: () => outcomes.make({ kind: 'release' }),
  }
  Object.defineProperty(made, 'job', lateMembers.job)
  Object.defineProperty(made, 'tick', lateMembers.tick)
  Object.defineProperty(made, 'signal', lateMembers.signal)
  return Object.defineProperty(made, 'log', lateMembers.log) as unknown as Context
}

function makeChildren(claim: Claim, idempotencyKey: string, deps: ContextParts['deps']): Children {
  return new Children({ claim, idempotencyKey, codec: deps.codec, dispatcher: deps })
}

function contextFlow(id: string, getChildren: () => Children): ContextFlow {
  return {
    id,
    add: async (requests, options = {}) => {
      checkOptions('ctx.flow.add()', options, ['tx'])
      return getChildren().add(id, requests, options.tx)
    },
  }
}

function contextLimit(
  { name }: ResolvedLimit,
  { id }: Claim,
  { ref, deps: { log } }: ContextParts,
): ContextLimit {
  return {
    name,
    close: async (duration, reason) => {
      const forMs = durationMs(duration, 'ctx.limit.close(duration)')
      const note = { by: `handler of job ${id} on ${ref.host}`, reason: noteFrom(reason) }
      await log.closeLimit({ job: id }, forMs, note)
    },
  }
}

function noteFrom(reason: unknown): string | undefined {
  return reason === undefined ? undefined : freeText(reason)
}
