import type { StandardSchemaV1 } from '@standard-schema/spec'
import { resolvedJob } from '../../define/job.ts'
import type { Context, Maybe, Middleware, ResolvedHandler } from '../../define/handler.ts'
import type { ResolvedJob } from '../../define/policy.ts'
import { jobView } from '../../define/view.ts'
import type { JobView } from '../../define/view.ts'
import { ErrandError, isErrandError, timeoutError } from '../../errors.ts'
import type { Claim, WorkerRef } from '../../job/claim.ts'
import type { NewWait } from '../../job/memory.ts'
import { childLogger } from '../../logging.ts'
import type { Logger } from '../../logging.ts'
import { asPayload } from '../../ports/codec.ts'
import type { Progress } from '../../ports/job-log.ts'
import { describeIssues, parseSyncWith } from '../../schema.ts'
import type { Parsed } from '../../schema.ts'
import { makeContext } from './context.ts'
import type { ContextRun } from './context.ts'
import type { WorkerDeps } from '../deps.ts'
import type { HookRunner } from './hooks.ts'
import { LateSignal } from './late-signal.ts'
import { onion } from './middleware.ts'
import { decide, Outcomes, returnedPlain, succeeded } from './outcome.ts'
import type { Decision, End } from './outcome.ts'
import { checkResult } from './result.ts'
import type { ProgressReports } from './progress.ts'
import { toKey } from './runs.ts'
import type { Run } from './runs.ts'
import type { Remembering } from '../steps/remembering.ts'
import { Steps } from '../steps/steps.ts'
import type { StepsRun } from '../steps/steps.ts'

/** What all runs of a worker have in common. */
export interface AttemptParts {
  readonly middleware: readonly Middleware[]
  readonly hooks: HookRunner
  readonly ref: WorkerRef
  readonly stopping: AbortSignal
  readonly deps: Pick<
    WorkerDeps,
    'log' | 'codec' | 'clock' | 'logger' | 'settings' | 'dispatch' | 'dispatchFlow' | 'addToFlow' | 'waiting'
  >
  readonly remembering: Remembering
  readonly progress: Pick<ProgressReports, 'add' | 'tell'>
}

/** How a run ended, before that is recorded. */
export interface Attempted {
  readonly decision: Decision
  /** What it returned, or completed with, and its text. */
  readonly result: unknown
  readonly json: string | undefined
  readonly durationMs: number
  /** Set when the handler was left behind. Resolves when it has really ended. */
  readonly leftBehind: Promise<unknown> | undefined
}

/**
 * The part of the grace that a timed-out handler gets. The log counts timeout and grace from the claim, which is a
 * little earlier than the start here; past that deadline it would call the run lost, not timed out.
 */
const graceShare = 0.8

/** One run of a job: payload, hooks, middleware and handler, under a deadline and a signal. It ends in a decision. */
export class Attempt implements Run, ContextRun, StepsRun {
  readonly claim: Claim
  readonly key: string
  readonly grantedMs: number
  busyUntilMs: number | undefined = undefined
  ended = false
  /** Progress that the codec is still encoding. */
  sealing: Promise<void> | undefined
  readonly outcomes: Outcomes = new Outcomes()
  readonly #handler: ResolvedHandler | undefined
  readonly #job: ResolvedJob | undefined
  readonly #parts: AttemptParts
  readonly #late = new LateSignal()
  #log: Logger | undefined
  #view: JobView | undefined
  /** The payload as it is stored, and as the schema parsed it. */
  #stored: unknown
  #parsed: unknown
  #isParsed = false
  #begunMs = 0
  #cancelTimer: (() => void) | undefined
  #left: End | undefined
  #leave: ((end: End) => void) | undefined
  #result: { readonly value: unknown; readonly json: string | undefined } | undefined
  #timeout: ErrandError | undefined
  #begun = false
  #completed = false
  #over = false
  #steps: Steps | undefined
  /** How the run ends, once its handler has been left behind. */
  #dropped: End | undefined
  /** Ends the innermost `next()` of the middleware, if there is any. */
  #frame: PromiseWithResolvers<unknown> | undefined

  constructor(claim: Claim, handler: ResolvedHandler | undefined, parts: AttemptParts) {
    this.claim = claim
    this.key = toKey(claim)
    this.grantedMs = parts.deps.clock.monotonicMs()
    this.#handler = handler
    this.#job = handler && resolvedJob(handler.job)
    this.#parts = parts
  }

  /** The job, without its payload until that has been read. Made when it is asked for. */
  get view(): JobView {
    return (this.#view ??= jobView(this.claim.job, this.#stored))
  }

  /** The parsed payload, if it could be read. */
  get parsed(): { readonly payload: unknown } | undefined {
    return this.#isParsed ? { payload: this.#parsed } : undefined
  }

  get signal(): AbortSignal {
    return this.#late.signal
  }

  get log(): Logger {
    const { id, attempt, job } = this.claim
    return (this.#log ??= childLogger(this.#parts.deps.logger, { job: id, jobName: job.name, attempt }))
  }

  /** The handler's steps and waits. Made when they are asked for. */
  get steps(): Steps {
    return (this.#steps ??= new Steps(this, this.#parts))
  }

  get memoryVersion(): number {
    return this.#handler?.memoryVersion ?? 0
  }

  get isAbandoned(): boolean {
    return this.#over && this.#dropped !== undefined
  }

  /** Aborts the handler's signal; the first reason stays. */
  abort(reason: Error): void {
    this.#late.abort(reason)
    if (isErrandError(reason, 'E_CLAIM_LOST')) this.#steps?.frame.lost(reason)
  }

  suspend(waits: readonly NewWait[]): void {
    this.#drop({ kind: 'suspended', waits, memoryVersion: this.memoryVersion })
  }

  park(error: ErrandError): void {
    this.#drop({ kind: 'parked', cause: 'payload', error })
  }

  drop(error: Error): void {
    this.#drop({ kind: 'threw', error })
  }

  /** The handler goes no further. Its middleware ends as always: what it has opened is closed. */
  #drop(end: End): void {
    if (this.#over || this.#dropped) return
    this.#dropped = end
    if (!this.#frame) this.#leave?.(end)
    else if (end.kind === 'threw') this.#frame.reject(end.error)
    else this.#frame.resolve(this.outcomes.suspended)
  }

  /** Stops waiting for the handler. What it does from now on does not count. */
  leaveBehind(): void {
    const error = this.#late.reason ?? new Error('the handler was left behind')
    this.#left ??= { kind: 'threw', error }
    this.#leave?.(this.#left)
  }

  progress(progress: Maybe<Progress>): void {
    if (this.#over) return
    if (!(progress instanceof Promise)) return this.#parts.progress.add(progress)
    this.sealing = this.#addSealed(progress, this.sealing)
  }

  /** Keeps the order of the calls, however long the codec takes for each. */
  async #addSealed(progress: Promise<Progress>, before: Promise<void> | undefined): Promise<void> {
    try {
      const sealed = await progress
      await before
      this.#parts.progress.add(sealed)
    } catch (error) {
      this.log.warn({ err: error }, 'a progress was not sent')
    }
  }

  async tellProgress(): Promise<void> {
    await this.sealing
    await this.#parts.progress.tell(this.claim)
  }

  completing(result: unknown): void {
    this.#completed = true
    this.#result = { value: result, json: undefined }
  }

  /** When the log will call the run lost, in ms of the monotonic clock. Infinity without a timeout. */
  get deadlineMs(): number {
    const { timeoutMs } = this.claim
    return timeoutMs === null
      ? Number.POSITIVE_INFINITY
      : this.grantedMs + timeoutMs + this.#parts.ref.graceMs
  }

  /**
   * Neither throws nor rejects. Here and below, it returns a promise only if there is something to wait for: each
   * promise costs more than most of what is called.
   */
  run(): Maybe<Attempted> {
    this.#begunMs = this.#parts.deps.clock.monotonicMs()
    const body = this.#body()
    if (!(body instanceof Promise)) return this.#attempted(this.#left ?? body, body)
    this.#watchTimeout()
    return new Promise<Attempted>((resolve) => {
      this.#leave = (end) => {
        if (!this.#over) resolve(this.#attempted(end, body))
      }
      if (this.#left) this.#leave(this.#left)
      void body.then(this.#leave)
    })
  }

  #attempted(end: End, body: Maybe<End>): Attempted {
    this.#over = true
    this.#steps?.frame.end(end.kind === 'returned')
    this.#cancelTimer?.()
    const endedMs = this.#parts.deps.clock.monotonicMs()
    return {
      decision: this.#decide(end, endedMs),
      result: this.#result?.value,
      json: this.#result?.json,
      durationMs: Math.round(endedMs - this.#begunMs),
      leftBehind: end === this.#left ? Promise.resolve(body) : undefined,
    }
  }

  #decide(end: End, endedMs: number): Decision {
    if (end === returnedPlain && !this.#completed && !this.#timeout) return succeeded
    const { claim } = this
    const { logger } = this.#parts.deps
    return decide(end, {
      claim,
      retry: this.#job?.retry,
      elapsedMs: endedMs - this.grantedMs,
      timeout: this.#timeout,
      completed: this.#completed,
      aborted: this.#late.reason,
      begun: this.#begun,
      policyFailed: (what, error) =>
        logger.error({ job: claim.id, jobName: claim.job.name, err: error }, `${what} failed`),
    })
  }

  #watchTimeout(): void {
    const { deps, ref } = this.#parts
    const { timeoutMs } = this.claim
    if (timeoutMs === null) return
    const { clock } = deps
    // Counted from the start of the run. If the run had to wait to be alone, it ends at half of its grace at the
    // latest.
    const waitedMs = this.#begunMs - this.grantedMs
    const waitMs = Math.min(timeoutMs, timeoutMs + ref.graceMs / 2 - waitedMs)
    const onTimeout = (): void => {
      this.#timeout = timeoutError(`the run took longer than its timeout of ${timeoutMs} ms`)
      this.abort(this.#timeout)
      const leaveMs = this.deadlineMs - (1 - graceShare) * ref.graceMs - clock.monotonicMs()
      this.#cancelTimer = clock.after(Math.max(0, leaveMs), () => this.leaveBehind())
    }
    // A handler may have blocked the event loop for a while.
    const pastMs = clock.monotonicMs() - this.#begunMs
    this.#cancelTimer = clock.after(Math.max(0, waitMs - pastMs), onTimeout)
  }

  #body(): Maybe<End> {
    try {
      const reading = this.#readPayload()
      const { precedesRuns } = this.#parts.hooks
      return reading instanceof Promise || precedesRuns || this.#needsVersion
        ? this.#bodyLater(reading)
        : this.#handle(reading)
    } catch (error) {
      return threw(error)
    }
  }

  async #bodyLater(reading: Maybe<ErrandError | undefined>): Promise<End> {
    try {
      const unreadable = await reading
      const newer = this.#needsVersion && !unreadable ? await this.steps.findNewer() : undefined
      if (newer) return { kind: 'parked', cause: 'payload', error: newer }
      return await this.#handle(unreadable)
    } catch (error) {
      return threw(error)
    }
  }

  /** Whether the version of what the job remembers is to be looked at before anything runs. */
  get #needsVersion(): boolean {
    return this.claim.run > 1 && this.#handler?.memoryVersion !== undefined
  }

  #handle(unreadable: ErrandError | undefined): Maybe<End> {
    const { claim } = this
    const { hooks, ref } = this.#parts
    const handler = this.#handler
    const job = this.#job
    if (!handler || !job) {
      const error = new ErrandError('E_UNKNOWN_JOB', `this worker has no handler for '${claim.job.name}'`)
      return { kind: 'parked', cause: 'unknown-job', error }
    }
    if (unreadable) return { kind: 'parked', cause: 'payload', error: unreadable }
    if (!hooks.precedesRuns) return this.#call(job, handler)
    const before = hooks.before({ job: this.view, attempt: claim.attempt, worker: ref.id })
    return before.then(() => this.#call(job, handler))
  }

  #call(job: ResolvedJob, handler: ResolvedHandler): Maybe<End> {
    // The hook may have used up the time.
    this.#late.throwIfAborted()
    this.#begun = true
    const ctx = makeContext(job, this, this.#parts)
    const running = this.#run(handler, ctx)
    return isThenable(running) ? this.#returnedLater(job, running) : this.#returned(job, running)
  }

  #run(handler: ResolvedHandler, ctx: Context): unknown {
    const payload = this.#parsed
    const { middleware } = this.#parts
    if (middleware.length + handler.middleware.length === 0) return handler.handler(payload, ctx)
    const layers = [...middleware, ...handler.middleware]
    const innermost = (given: Context): unknown => this.#framed(handler.handler(payload, given))
    return onion(layers, innermost, (value) => this.outcomes.returned(value), ctx)
  }

  /** The handler's end, or that it was left behind. */
  #framed(running: unknown): unknown {
    if (!isThenable(running)) return running
    const frame = (this.#frame = Promise.withResolvers())
    void this.#follow(running, frame)
    return frame.promise
  }

  async #follow(running: PromiseLike<unknown>, frame: PromiseWithResolvers<unknown>): Promise<void> {
    try {
      const value = await running
      this.#frame = undefined
      frame.resolve(value)
    } catch (error) {
      this.#frame = undefined
      frame.reject(error)
    }
  }

  async #returnedLater(job: ResolvedJob, running: PromiseLike<unknown>): Promise<End> {
    try {
      return await this.#returned(job, await running)
    } catch (error) {
      return threw(error)
    }
  }

  #returned(job: ResolvedJob, value: unknown): Maybe<End> {
    this.outcomes.returned(value)
    const wish = this.outcomes.readWish(value)
    if (wish === 'foreign') {
      throw new ErrandError('E_OUTCOME', `the handler of '${job.name}' returned the outcome of another run`)
    }
    const { forgotten } = this.outcomes
    if (forgotten) {
      throw new ErrandError(
        'E_OUTCOME',
        `the handler of '${job.name}' made ctx.${forgotten.kind}(…) and did not return it; write: return ctx.${forgotten.kind}(…)`,
      )
    }
    if (wish?.kind === 'suspend' && !this.#dropped) {
      throw new ErrandError(
        'E_OUTCOME',
        `the handler of '${job.name}' returned ctx.suspended and waits for nothing; await ctx.sleep, ctx.receive or ctx.call instead`,
      )
    }
    // Whatever a middleware made of it: the handler has not ended.
    if (this.#dropped && (!wish || wish.kind === 'suspend')) return this.#dropped
    if (wish && wish.kind !== 'suspend') return { kind: 'returned', wish }
    // If it was completed in the handler's own transaction, the result was given there.
    const keeps = job.returns && !this.#completed
    return keeps ? this.#keepResult(job, job.returns, value) : returnedPlain
  }

  async #keepResult(job: ResolvedJob, returns: StandardSchemaV1, value: unknown): Promise<End> {
    const { resultLimitBytes } = this.#parts.deps.settings
    try {
      this.#result = await checkResult(job.name, returns, value, resultLimitBytes)
      return returnedPlain
    } catch (error) {
      return threw(error)
    }
  }

  /**
   * Reads the stored payload for the view, and parses it for the handler. Returns an error if this process cannot read
   * it.
   */
  #readPayload(): Maybe<ErrandError | undefined> {
    const { job } = this.claim
    try {
      const text = this.#parts.deps.codec.decode(job.payload, asPayload(job))
      const parsed =
        text instanceof Promise ? text.then((read) => this.#parsePayload(read)) : this.#parsePayload(text)
      return parsed instanceof Promise ? parsed.catch((error: unknown) => this.#unreadable(error)) : parsed
    } catch (error) {
      return this.#unreadable(error)
    }
  }

  #parsePayload(text: string): Maybe<ErrandError | undefined> {
    const stored: unknown = JSON.parse(text)
    this.#stored = stored
    this.#view = undefined
    if (!this.#job) return undefined
    const { payload } = this.#job
    const parsed = payload ? parseSyncWith(payload, stored) : { value: undefined }
    return parsed instanceof Promise
      ? parsed.then((its) => this.#checkParsed(its))
      : this.#checkParsed(parsed)
  }

  #checkParsed(parsed: Parsed): ErrandError | undefined {
    if (!parsed.issues) {
      this.#parsed = parsed.value
      this.#isParsed = true
      return undefined
    }
    const { name } = this.claim.job
    const issues = describeIssues(parsed.issues)
    const message = `the stored payload does not fit the schema of '${name}' here: ${issues}`
    return new ErrandError('E_PAYLOAD_INVALID', message)
  }

  #unreadable(error: unknown): ErrandError {
    const { name } = this.claim.job
    if (isErrandError(error, 'E_CODEC')) {
      return new ErrandError(
        'E_CODEC',
        `the stored payload of '${name}' cannot be read here: ${error.message}`,
      )
    }
    // Without the parser's error: its message quotes the text, and errors are logged.
    return new ErrandError('E_PAYLOAD_INVALID', `the stored payload of '${name}' is not JSON`)
  }
}

function threw(error: unknown): End {
  return { kind: 'threw', error }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') && 'then' in value
}
