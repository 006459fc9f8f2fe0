import { seal } from '../../codec/sealed-text.ts'
import { jobDefaults } from '../../config/defaults.ts'
import type { Ended } from '../../define/hooks.ts'
import { noneEnded } from '../../define/worker.ts'
import { shutdownError } from '../../errors.ts'
import { toFailure } from '../../failure/to-failure.ts'
import type { Failure } from '../../failure/failure.ts'
import type { Claim } from '../../job/claim.ts'
import type { FailureCause, Settled, SettledOutcome } from '../../job/outcome.ts'
import { releaseReasons } from '../../job/release.ts'
import type { ReleaseReason } from '../../job/release.ts'
import type { StoredEventType } from '../../job/state.ts'
import { asResult } from '../../ports/codec.ts'
import type { Codec } from '../../ports/codec.ts'
import type { Decision } from './outcome.ts'
import { encodeFailure } from './result.ts'

type WithoutDuration<T> = T extends unknown ? Omit<T, 'durationMs'> : never

/** How the run ended, as the log recorded it. That may differ from what was decided here. */
export function toEnded(decision: Decision, result: unknown, settled: Settled): WithoutDuration<Ended> {
  const outcome = toOutcome(settled)
  const again = new Date(settled.runAt ?? 0)
  if (outcome === 'succeeded') return { outcome, result }
  if (outcome === 'errored') return { outcome, error: pickFailure(decision), retryAt: again }
  if (outcome === 'failed') return { outcome, error: pickFailure(decision) }
  if (outcome === 'snoozed') return { outcome, until: again }
  if (outcome === 'suspended') {
    return { outcome, waits: decision.kind === 'suspend' ? decision.waits.map(({ name }) => name) : [] }
  }
  if (outcome === 'released') return { outcome, why: decision.kind === 'release' ? decision.why : undefined }
  return { outcome }
}

/** How the run ended. */
export function toOutcome({ result, event }: Settled): Ended['outcome'] {
  if (result === 'claim-lost') return 'fenced'
  // It waited for something that was over already.
  if (event === 'resumed') return 'suspended'
  return isOutcome(event) ? event : 'fenced'
}

function isOutcome(event: StoredEventType): event is StoredEventType & Ended['outcome'] {
  return event in noneEnded
}

export function pickFailure(decision: Decision): Failure {
  if ('failure' in decision) return decision.failure
  return {
    name: 'ErrandError',
    message: `the log could not keep the outcome '${decision.kind}'`,
    code: 'E_RESULT_INVALID',
  }
}

export function pickCause(decision: Decision): FailureCause {
  if (decision.kind === 'error' || decision.kind === 'fail') return decision.cause
  return decision.kind === 'release' ? 'lost' : 'error'
}

/** Whether the job may fail finally by this, so that hooks follow. */
export function mayFail(decision: Decision): boolean {
  return 'failure' in decision
}

/** Whether the job may end by this, and pass its ordering key on. */
export function mayEnd(outcome: SettledOutcome): boolean {
  const goesOn = outcome.kind === 'snooze' || outcome.kind === 'release' || outcome.kind === 'suspend'
  return !goesOn && !('retryInMs' in outcome && outcome.retryInMs !== undefined)
}

/** How long the job waits for its next run. */
export function pickDelay(decision: Decision): number {
  if (decision.kind === 'snooze') return decision.delayMs
  return 'retryInMs' in decision ? (decision.retryInMs ?? 0) : 0
}

/** A run whose handler was never called: it goes back as if it had not been granted. */
export function notBegun(why: ReleaseReason): Decision {
  return { kind: 'release', begun: false, why, failure: toFailure(shutdownError(releaseReasons[why])) }
}

const plainSuccess: SettledOutcome = { kind: 'succeed', result: undefined }

/** The decision with its texts encoded. If the codec cannot encode one, it becomes an error that anybody can read. */
export function encode(
  codec: Codec,
  claim: Pick<Claim, 'id' | 'attempt' | 'maxAttempts'>,
  decision: Decision,
  json: string | undefined,
): SettledOutcome | Promise<SettledOutcome> {
  if (decision.kind === 'succeed' && json === undefined) return plainSuccess
  if (decision.kind === 'suspend') return decision
  return encodeTexts(codec, claim, decision, json)
}

async function encodeTexts(
  codec: Codec,
  claim: Pick<Claim, 'id' | 'attempt' | 'maxAttempts'>,
  decision: Exclude<Decision, { kind: 'suspend' }>,
  json: string | undefined,
): Promise<SettledOutcome> {
  try {
    return await encoded(codec, claim.id, decision, json)
  } catch (error) {
    const why = toFailure(error)
    const message = `the codec could not write the outcome '${decision.kind}': ${why.message}`
    const failure = { ...why, message }
    const written = { codec: 'json', text: JSON.stringify(failure) }
    if ('failure' in decision) {
      const { failure: _, ...rest } = decision
      return { ...rest, error: written }
    }
    const retryInMs = claim.attempt < claim.maxAttempts ? jobDefaults.backoffMaxMs : undefined
    return { kind: 'error', error: written, cause: 'error', retryInMs }
  }
}

async function encoded(
  codec: Codec,
  job: string,
  decision: Exclude<Decision, { kind: 'suspend' }>,
  json: string | undefined,
): Promise<SettledOutcome> {
  if (decision.kind === 'succeed') {
    return {
      kind: 'succeed',
      result: json === undefined ? undefined : await codec.encode(json, asResult(job)),
    }
  }
  if (decision.kind === 'snooze' || decision.kind === 'cancel') {
    const { reason } = decision
    // The reason why a job is parked is read by people who lack its key, or its code.
    if (reason === undefined || (decision.kind === 'snooze' && decision.parked)) return decision
    return { ...decision, reason: await seal(codec, reason, job) }
  }
  const { failure, ...rest } = decision
  return { ...rest, error: await encodeFailure(codec, failure, job) }
}
