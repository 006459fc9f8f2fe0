import { resolvedJob } from '../define/job.ts'
import type { Context, Middleware, ResolvedHandler } from '../define/handler.ts'
import type { ResolvedJob } from '../define/policy.ts'
import { jobView } from '../define/view.ts'
import type { JobView } from '../define/view.ts'
import { ErrandError, isErrandError, timeoutError } from '../errors.ts'
import type { Claim, WorkerRef } from '../job/claim.ts'
import { payloadOf } from '../ports/codec.ts'
import type { Progress } from '../ports/job-log.ts'
import { describeIssues, parseWith } from '../schema.ts'
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
  readonly #leave = Promise.withResolvers<End>()
  readonly #cancels: (() => void)[] = []
  readonly #claimedMs: number
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
    this.#leave.resolve({ kind: 'threw', error })
  }

  /** When the log will call the run lost: ms by the monotonic clock, Infinity without a timeout. */
  get deadlineMs(): number {
    const { claim, ref } = this.#parts
    if (claim.timeoutMs === null) return Number.POSITIVE_INFINITY
    return this.#claimedMs + claim.timeoutMs + ref.graceMs
  }

  /** Never rejects. */
  async run(): Promise<Attempted> {
    this.#watchTimeout()
    let ended = false
    const body = this.#body()
      .catch((error: unknown): End => ({ kind: 'threw', error }))
      .finally(() => {
        ended = true
      })
    const end = await Promise.race([body, this.#leave.promise])
    this.#over = true
    for (const cancel of this.#cancels) cancel()
    const elapsedMs = this.#parts.deps.clock.monotonicMs() - this.#claimedMs
    const { claim, deps } = this.#parts
    const decision = decide(end, {
      claim,
      retry: this.#job?.retry,
      elapsedMs,
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
      durationMs: Math.round(elapsedMs),
      job: this.#view,
      parsed: this.#parsed,
      leftBehind: ended ? undefined : body,
    }
  }

  #watchTimeout(): void {
    const { claim, deps, ref } = this.#parts
    const { timeoutMs } = claim
    if (timeoutMs === null) return
    const { clock } = deps
    // Counted from now; but where it waited to run alone, not further into the grace than half of it.
    const waitedMs = clock.monotonicMs() - this.#claimedMs
    const waitMs = Math.max(0, Math.min(timeoutMs, timeoutMs + ref.graceMs / 2 - waitedMs))
    const onTimeout = (): void => {
      this.#timeout = timeoutError(`the run took longer than its timeout of ${timeoutMs} ms`)
      this.abort(this.#timeout)
      const leaveMs = this.deadlineMs - (1 - graceShare) * ref.graceMs - clock.monotonicMs()
      this.#cancels.push(clock.after(Math.max(0, leaveMs), () => this.leaveBehind()))
    }
    this.#cancels.push(clock.after(waitMs, onTimeout))
  }

  async #body(): Promise<End> {
    const { claim, handler, hooks, middleware, ref } = this.#parts
    const unreadable = await this.#readPayload()
    if (!handler || !this.#job) {
      const error = new ErrandError('E_UNKNOWN_JOB', `no handler of this worker is for '${claim.job.name}'`)
      return { kind: 'parked', cause: 'unknown-job', error }
    }
    if (unreadable) return { kind: 'parked', cause: 'payload', error: unreadable }
    await hooks.before({ job: this.#view, attempt: claim.attempt, worker: ref.id })
    // The hook may have taken all the time that there was.
    this.#late.throwIfAborted()
    this.#begun = true
    const layers = onion(
      [...middleware, ...handler.middleware],
      (ctx) => handler.handler(this.#parsed?.payload, ctx),
      (value) => this.#outcomes.returned(value),
    )
    return this.#ended(this.#job, await layers(this.#context(this.#job)))
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

  async #ended(job: ResolvedJob, value: unknown): Promise<End> {
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
    const { resultLimitBytes } = this.#parts.deps.settings
    this.#result = await checkResult(job.name, job.returns, value, resultLimitBytes)
    return { kind: 'returned', wish: undefined }
  }

  /** The stored payload for the view, and parsed for the handler; an error where this process cannot read it. */
  async #readPayload(): Promise<ErrandError | undefined> {
    const { claim, deps } = this.#parts
    const { name } = claim.job
    try {
      const stored: unknown = JSON.parse(await deps.codec.decode(claim.job.payload, payloadOf(claim.job)))
      this.#view = jobView(claim.job, stored)
      if (!this.#job) return undefined
      const parsed = this.#job.payload ? await parseWith(this.#job.payload, stored) : { value: undefined }
      if (!parsed.issues) this.#parsed = { payload: parsed.value }
      return (
        parsed.issues &&
        new ErrandError(
          'E_PAYLOAD_INVALID',
          `the stored payload does not fit the schema of '${name}' here: ${describeIssues(parsed.issues)}`,
        )
      )
    } catch (error) {
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
}
