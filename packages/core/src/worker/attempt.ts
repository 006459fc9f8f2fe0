import type { StandardSchemaV1 } from '@standard-schema/spec'
import { resolvedJob } from '../define/job.ts'
import type { Context, Maybe, Middleware, ResolvedHandler } from '../define/handler.ts'
import type { ResolvedJob } from '../define/policy.ts'
import { jobView } from '../define/view.ts'
import type { JobView } from '../define/view.ts'
import { ErrandError, isErrandError, timeoutError } from '../errors.ts'
import type { Claim, WorkerRef } from '../job/claim.ts'
import { payloadOf } from '../ports/codec.ts'
import type { Progress } from '../ports/job-log.ts'
import { describeIssues, parseSyncWith } from '../schema.ts'
import type { Parsed } from '../schema.ts'
import { makeContext } from './context.ts'
import type { WorkerDeps } from './deps.ts'
import type { HookRunner } from './hooks.ts'
import { LateSignal } from './late-signal.ts'
import { onion } from './middleware.ts'
import { decide, Outcomes } from './outcome.ts'
import type { Decision, End } from './outcome.ts'
import { checkResult } from './result.ts'

export interface AttemptParts {
  readonly claim: Claim
  readonly handler: ResolvedHandler | undefined
  readonly middleware: readonly Middleware[]
  readonly hooks: HookRunner
  readonly ref: WorkerRef
  readonly stopping: AbortSignal
  readonly deps: Pick<WorkerDeps, 'log' | 'codec' | 'clock' | 'logger' | 'settings' | 'dispatch'>
  readonly progress: (progress: Progress) => void
}

/** What became of a run, before it is recorded. */
export interface Attempted {
  readonly decision: Decision
  /** What it returned, or completed with, and its text. */
  readonly result: unknown
  readonly json: string | undefined
  readonly durationMs: number
  readonly job: JobView
  /** The parsed payload, where it could be read. */
  readonly parsed: { readonly payload: unknown } | undefined
  /** Set when the handler was left behind: resolves when it has really ended. */
  readonly leftBehind: Promise<unknown> | undefined
}

/**
 * The part of the grace that a timed-out handler gets. The log counts timeout and grace from the claim, which is a
 * little earlier than the start here; past that deadline it would call the run lost, not timed out.
 */
const graceShare = 0.8

/** One run of a job: payload, hooks, middleware, handler, under a deadline and a signal; it ends in a decision. */
export class Attempt {
  readonly #parts: AttemptParts
  readonly #job: ResolvedJob | undefined
  readonly #late = new LateSignal()
  readonly #outcomes = new Outcomes()
  #left: End | undefined
  #leave: ((end: End) => void) | undefined
  readonly #cancels: (() => void)[] = []
  readonly #claimedMs: number
  #begunMs = 0
  #view: JobView
  #parsed: { readonly payload: unknown } | undefined
  #result: { readonly value: unknown; readonly json: string | undefined } | undefined
  #timeout: ErrandError | undefined
  #begun = false
  #completed = false
  #over = false

  constructor(parts: AttemptParts) {
    this.#parts = parts
    this.#job = parts.handler && resolvedJob(parts.handler.job)
    this.#claimedMs = parts.deps.clock.monotonicMs()
    this.#view = jobView(parts.claim.job, undefined)
  }

  /** Aborts the handler's signal; the first reason stays. */
  abort(reason: Error): void {
    this.#late.abort(reason)
  }

  /** Waits for the handler no longer. What it does from now on does not count. */
  leaveBehind(): void {
    const error = this.#late.reason ?? new Error('the handler was left behind')
    this.#left ??= { kind: 'threw', error }
    this.#leave?.(this.#left)
  }

  /** When the log will call the run lost: ms by the monotonic clock, Infinity without a timeout. */
  get deadlineMs(): number {
    const { claim, ref } = this.#parts
    if (claim.timeoutMs === null) return Number.POSITIVE_INFINITY
    return this.#claimedMs + claim.timeoutMs + ref.graceMs
  }

  /** Never rejects. */
  async run(): Promise<Attempted> {
    this.#begunMs = this.#parts.deps.clock.monotonicMs()
    this.#watchTimeout()
    const body = this.#body()
    const end = await new Promise<End>((resolve) => {
      this.#leave = resolve
      if (this.#left) resolve(this.#left)
      void body.then(resolve)
    })
    this.#over = true
    for (const cancel of this.#cancels) cancel()
    const { claim, deps } = this.#parts
    const endedMs = deps.clock.monotonicMs()
    const decision = decide(end, {
      claim,
      retry: this.#job?.retry,
      elapsedMs: endedMs - this.#claimedMs,
      timeout: this.#timeout,
      completed: this.#completed,
      aborted: this.#late.reason,
      begun: this.#begun,
      policyFailed: (what, error) =>
        deps.logger.error({ job: claim.id, name: claim.job.name, err: error }, `${what} failed`),
    })
    return {
      decision,
      result: this.#result?.value,
      json: this.#result?.json,
      durationMs: Math.round(endedMs - this.#begunMs),
      job: this.#view,
      parsed: this.#parsed,
      leftBehind: end === this.#left ? body : undefined,
    }
  }

  #watchTimeout(): void {
    const { claim, deps, ref } = this.#parts
    const { timeoutMs } = claim
    if (timeoutMs === null) return
    const { clock } = deps
    // Counted from now; but where it waited to run alone, not further into the grace than half of it.
    const waitedMs = this.#begunMs - this.#claimedMs
    const waitMs = Math.max(0, Math.min(timeoutMs, timeoutMs + ref.graceMs / 2 - waitedMs))
    const onTimeout = (): void => {
      this.#timeout = timeoutError(`the run took longer than its timeout of ${timeoutMs} ms`)
      this.abort(this.#timeout)
      const leaveMs = this.deadlineMs - (1 - graceShare) * ref.graceMs - clock.monotonicMs()
      this.#cancels.push(clock.after(Math.max(0, leaveMs), () => this.leaveBehind()))
    }
    this.#cancels.push(clock.after(waitMs, onTimeout))
  }

  /** Never rejects. */
  async #body(): Promise<End> {
    try {
      const { claim, handler, hooks, middleware, ref } = this.#parts
      // Awaited only where there is something to wait for, here and below: it costs more than most of what is called.
      const reading = this.#readPayload()
      const unreadable = reading instanceof Promise ? await reading : reading
      const job = this.#job
      if (!handler || !job) {
        const error = new ErrandError('E_UNKNOWN_JOB', `no handler of this worker is for '${claim.job.name}'`)
        return { kind: 'parked', cause: 'unknown-job', error }
      }
      if (unreadable) return { kind: 'parked', cause: 'payload', error: unreadable }
      if (hooks.precedesRuns) {
        await hooks.before({ job: this.#view, attempt: claim.attempt, worker: ref.id })
      }
      // The hook may have taken all the time that there was.
      this.#late.throwIfAborted()
      this.#begun = true
      const returned = (value: unknown): void => this.#outcomes.returned(value)
      const run = (ctx: Context): unknown => handler.handler(this.#parsed?.payload, ctx)
      const layers = [...middleware, ...handler.middleware]
      const ctx = this.#context(job)
      const running = layers.length === 0 ? run(ctx) : onion(layers, run, returned, ctx)
      const value = isThenable(running) ? await running : running
      returned(value)
      const end = this.#ended(job, value)
      return end instanceof Promise ? await end : end
    } catch (error) {
      return { kind: 'threw', error }
    }
  }

  #context(job: ResolvedJob): Context {
    const { claim, ref, deps, stopping, progress } = this.#parts
    return makeContext({
      claim,
      job,
      view: this.#view,
      ref,
      signal: () => this.#late.signal,
      stopping,
      outcomes: this.#outcomes,
      deps,
      progress: (each) => {
        if (!this.#over) progress(each)
      },
      completing: (value) => {
        this.#completed = true
        this.#result = { value, json: undefined }
      },
    })
  }

  #ended(job: ResolvedJob, value: unknown): End | Promise<End> {
    const wish = this.#outcomes.wishOf(value)
    if (wish === 'foreign') {
      throw new ErrandError('E_OUTCOME', `the handler of '${job.name}' returned the outcome of another run`)
    }
    const { forgotten } = this.#outcomes
    if (forgotten) {
      throw new ErrandError(
        'E_OUTCOME',
        `the handler of '${job.name}' made ctx.${forgotten.kind}(…) and did not return it; write: return ctx.${forgotten.kind}(…)`,
      )
    }
    // Completed in the handler's own transaction: the result was given there.
    if (wish || this.#completed) return { kind: 'returned', wish }
    return job.returns ? this.#keepResult(job, job.returns, value) : { kind: 'returned', wish: undefined }
  }

  async #keepResult(job: ResolvedJob, returns: StandardSchemaV1, value: unknown): Promise<End> {
    const { resultLimitBytes } = this.#parts.deps.settings
    this.#result = await checkResult(job.name, returns, value, resultLimitBytes)
    return { kind: 'returned', wish: undefined }
  }

  /** The stored payload for the view, and parsed for the handler; an error where this process cannot read it. */
  #readPayload(): Maybe<ErrandError | undefined> {
    const { claim, deps } = this.#parts
    try {
      const text = deps.codec.decode(claim.job.payload, payloadOf(claim.job))
      const parsed =
        text instanceof Promise ? text.then((read) => this.#parsePayload(read)) : this.#parsePayload(text)
      return parsed instanceof Promise ? parsed.catch((error: unknown) => this.#unreadable(error)) : parsed
    } catch (error) {
      return this.#unreadable(error)
    }
  }

  #parsePayload(text: string): Maybe<ErrandError | undefined> {
    const stored: unknown = JSON.parse(text)
    this.#view = jobView(this.#parts.claim.job, stored)
    if (!this.#job) return undefined
    const { payload } = this.#job
    const parsed = payload ? parseSyncWith(payload, stored) : { value: undefined }
    return parsed instanceof Promise
      ? parsed.then((its) => this.#checkParsed(its))
      : this.#checkParsed(parsed)
  }

  #checkParsed(parsed: Parsed): ErrandError | undefined {
    if (!parsed.issues) {
      this.#parsed = { payload: parsed.value }
      return undefined
    }
    const { name } = this.#parts.claim.job
    const issues = describeIssues(parsed.issues)
    const message = `the stored payload does not fit the schema of '${name}' here: ${issues}`
    return new ErrandError('E_PAYLOAD_INVALID', message)
  }

  #unreadable(error: unknown): ErrandError {
    const { name } = this.#parts.claim.job
    if (isErrandError(error, 'E_CODEC')) {
      return new ErrandError(
        'E_CODEC',
        `the stored payload of '${name}' cannot be read here: ${error.message}`,
      )
    }
    // Without the parser's error: its message quotes the text, and errors are logged.
    return new ErrandError('E_PAYLOAD_INVALID', `the stored payload of '${name}' is no JSON`)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') && 'then' in value
}
