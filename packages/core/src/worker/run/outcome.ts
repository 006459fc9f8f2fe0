import type { Outcome } from '../../define/handler.ts'
import { isErrandError, isPermanent } from '../../errors.ts'
import { listCauses, read } from '../../failure/thrown.ts'
import { toFailure } from '../../failure/to-failure.ts'
import type { ErrandError } from '../../errors.ts'
import type { Failure } from '../../failure/failure.ts'
import type { Claim } from '../../job/claim.ts'
import type { NewWait } from '../../job/memory.ts'
import type { FailureCause } from '../../job/outcome.ts'
import type { ReleaseReason } from '../../job/release.ts'
import type { ResolvedJob } from '../../define/policy.ts'
import { jobDefaults, workerDefaults } from '../../config/defaults.ts'
import { freeText } from '../../text.ts'

/** What a handler asked for, as data. */
export type Wish =
  | { readonly kind: 'retry'; readonly afterMs: number | undefined; readonly reason: string | undefined }
  | { readonly kind: 'snooze'; readonly delayMs: number; readonly reason: string | undefined }
  | { readonly kind: 'fail'; readonly failure: Failure }
  | { readonly kind: 'cancel'; readonly reason: string | undefined }
  | { readonly kind: 'release' }
  /** The handler waits. Only middleware sees it. */
  | { readonly kind: 'suspend' }

class Made {
  readonly wish: Wish
  readonly by: Outcomes
  constructor(wish: Wish, by: Outcomes) {
    this.wish = wish
    this.by = by
  }
}

const none: readonly Made[] = []

/**
 * The outcomes that one run has made, and whether each was returned. An outcome that is not returned would silently do
 * nothing.
 */
export class Outcomes {
  #open: readonly Made[] = none
  #suspended: Outcome | undefined

  /** What `next()` resolves with when the handler waits. It need not be returned. */
  get suspended(): Outcome {
    return (this.#suspended ??= new Made({ kind: 'suspend' }, this) as unknown as Outcome)
  }

  make(wish: Wish): Outcome {
    const made = new Made(wish, this)
    this.#open = [...this.#open, made]
    return made as unknown as Outcome
  }

  /** A handler or a middleware has returned this value. */
  returned(value: unknown): void {
    if (value instanceof Made) this.#open = this.#open.filter((made) => made !== value)
  }

  /** The wish behind a value. Undefined for a plain result; `'foreign'` if another run made it. */
  readWish(value: unknown): Wish | 'foreign' | undefined {
    if (!(value instanceof Made)) return undefined
    return value.by === this ? value.wish : 'foreign'
  }

  /** An outcome that was made and not returned. */
  get forgotten(): Wish | undefined {
    return this.#open[0]?.wish
  }
}

/** How the handler ended. */
export type End =
  | { readonly kind: 'returned'; readonly wish: Exclude<Wish, { kind: 'suspend' }> | undefined }
  | { readonly kind: 'threw'; readonly error: unknown }
  /** No handler ran: this worker does not know the name, or the payload does not fit. */
  | { readonly kind: 'parked'; readonly cause: 'unknown-job' | 'payload'; readonly error: ErrandError }
  /** The handler waits, and was left behind. */
  | { readonly kind: 'suspended'; readonly waits: readonly NewWait[]; readonly memoryVersion: number }

/** The end of nearly every run. */
export const returnedPlain: End = { kind: 'returned', wish: undefined }

/** What to record: a `SettledOutcome` before its texts are encoded. */
export type Decision =
  | { readonly kind: 'succeed' }
  | {
      readonly kind: 'error'
      readonly failure: Failure
      readonly cause: FailureCause
      readonly retryInMs: number | undefined
    }
  | { readonly kind: 'fail'; readonly failure: Failure; readonly cause: FailureCause }
  | {
      readonly kind: 'snooze'
      readonly delayMs: number
      readonly reason: string | undefined
      readonly parked: boolean
    }
  | { readonly kind: 'cancel'; readonly reason: string | undefined }
  | {
      readonly kind: 'release'
      readonly begun: boolean
      readonly why: ReleaseReason
      readonly failure: Failure
    }
  | { readonly kind: 'suspend'; readonly waits: readonly NewWait[]; readonly memoryVersion: number }
  | { readonly kind: 'completed'; readonly failure: Failure; readonly retryInMs: number | undefined }

export interface Facts {
  readonly claim: Claim
  /** Undefined if no handler knows the job. */
  readonly retry: ResolvedJob['retry'] | undefined
  /** Since the claim. */
  readonly elapsedMs: number
  /** Set when the run passed its timeout, whatever the handler did afterwards. */
  readonly timeout: ErrandError | undefined
  /** `ctx.complete` was called. */
  readonly completed: boolean
  /** Why the signal aborted, if it did. */
  readonly aborted: unknown
  /** The handler, or a middleware, was called. */
  readonly begun: boolean
  /** Called when the job's own policy threw, or returned an invalid wait. */
  readonly policyFailed: (what: string, error: unknown) => void
}

/** A run that returned in time, and not an outcome. */
export const succeeded: Decision = { kind: 'succeed' }

/** What to record of a run. The log's fence decides whether it counts. */
export function decide(end: End, facts: Facts): Decision {
  if (end.kind === 'parked') return park(end, facts)
  const { timeout, aborted } = facts
  if (facts.completed) return completed(end, facts)
  if (timeout) return errored(timeout, 'timeout', facts)
  if (end.kind === 'threw') {
    if (isErrandError(aborted, 'E_SHUTDOWN')) return released(facts, aborted)
    if (isErrandError(aborted, 'E_CANCELLED') && isAbort(end.error, aborted)) {
      return { kind: 'cancel', reason: aborted.message }
    }
    return errored(end.error, 'error', facts)
  }
  if (end.kind === 'suspended') return { ...end, kind: 'suspend' }
  return end.wish ? granted(end.wish, facts) : succeeded
}

function granted(wish: Exclude<Wish, { kind: 'suspend' }>, facts: Facts): Decision {
  switch (wish.kind) {
    case 'retry': {
      const failure = { name: 'Retry', message: wish.reason ?? 'the handler asked to be run again' }
      return { kind: 'error', failure, cause: 'error', retryInMs: retryIn(facts, wish.afterMs) }
    }
    case 'snooze':
      return { ...wish, parked: false }
    case 'fail':
      return { ...wish, cause: 'error' }
    case 'cancel':
      return wish
    case 'release':
      return released(facts, undefined)
    default:
      return wish satisfies never
  }
}

function released({ begun }: Facts, why: ErrandError | undefined): Decision {
  const failure = why
    ? toFailure(why)
    : { name: 'Released', message: 'the handler gave the job back after it had begun', code: 'E_LOST' }
  return { kind: 'release', begun, why: why ? 'shutdown' : 'asked', failure }
}

function errored(error: unknown, cause: FailureCause, facts: Facts): Decision {
  return { kind: 'error', failure: toFailure(error), cause, retryInMs: retryAfter(error, facts) }
}

/**
 * The handler completed in its own transaction. Whatever it did afterwards, the log looks whether that has committed.
 */
function completed(end: Exclude<End, { kind: 'parked' }>, facts: Facts): Decision {
  const error = end.kind === 'threw' ? end.error : facts.timeout
  if (error !== undefined) {
    return { kind: 'completed', failure: toFailure(error), retryInMs: retryAfter(error, facts) }
  }
  const failure = {
    name: 'CompletionLostError',
    code: 'E_COMPLETION_LOST',
    message: 'ctx.complete was called, but its transaction was rolled back or its fate is unknown',
  }
  return { kind: 'completed', failure, retryInMs: retryIn(facts, undefined) }
}

/** For a day, the job goes back for a worker that knows it. Then it fails, so that it is not forgotten. */
function park(end: Extract<End, { kind: 'parked' }>, { claim }: Facts): Decision {
  if ((claim.parkedForMs ?? 0) >= workerDefaults.parkedForMs) {
    return { kind: 'fail', failure: toFailure(end.error), cause: end.cause }
  }
  return {
    kind: 'snooze',
    delayMs: workerDefaults.parkedDelayMs,
    reason: freeText(end.error.message),
    parked: true,
  }
}

/** Faults of steps and calls that another run would only meet again. After the mend, a replay goes on where the job was. */
const futile = [
  'E_CALL_DEADLOCK',
  'E_CALL_FAILED',
  'E_STEP_LIMIT',
  'E_STEP_NAME',
  'E_STEP_NESTED',
  'E_STEP_RESULT',
  'E_STEP_TOO_LARGE',
] as const

function retryAfter(error: unknown, facts: Facts): number | undefined {
  // If the result cannot be stored, another run would only do the same work again.
  const isFutile =
    isPermanent(error) ||
    isErrandError(error, 'E_RESULT_INVALID') ||
    listCauses(error).some((each) => futile.some((code) => isErrandError(each, code)))
  if (isFutile || facts.retry === undefined) return undefined
  const { when } = facts.retry
  try {
    if (when && !when(toFailure(error))) return undefined
  } catch (thrown) {
    facts.policyFailed('retry.when', thrown)
  }
  return retryIn(facts, undefined)
}

/** Undefined if the attempts are used up, or the retry would begin after the policy's end. */
function retryIn(facts: Facts, afterMs: number | undefined): number | undefined {
  const { claim, elapsedMs } = facts
  if (claim.attempt >= claim.maxAttempts) return undefined
  const waitMs = afterMs ?? computeBackoff(facts)
  const leftMs = (claim.expiresInMs ?? Number.POSITIVE_INFINITY) - elapsedMs
  return waitMs <= leftMs ? waitMs : undefined
}

function computeBackoff({ retry, claim, policyFailed }: Facts): number {
  try {
    const waitMs = retry?.backoff(claim.attempt)
    if (waitMs !== undefined && Number.isFinite(waitMs) && waitMs >= 0) return Math.round(waitMs)
    policyFailed('retry.backoff', new RangeError(`it returned ${String(waitMs)}`))
  } catch (thrown) {
    policyFailed('retry.backoff', thrown)
  }
  return jobDefaults.backoffBaseMs * 2 ** Math.min(claim.attempt - 1, 9)
}

/** Whether the handler ended because of the signal: with its reason, or with what fetch and others make of it. */
function isAbort(error: unknown, reason: unknown): boolean {
  return listCauses(error).some((each) => each === reason || read(each, 'name') === 'AbortError')
}
