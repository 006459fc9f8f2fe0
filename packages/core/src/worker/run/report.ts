import type { Failure } from '../../failure/failure.ts'
import type { Claim } from '../../job/claim.ts'
import type { Settled } from '../../job/outcome.ts'
import { releaseReasons } from '../../job/release.ts'
import type { ReleaseReason } from '../../job/release.ts'
import { failureLine } from '../../logging.ts'
import type { Logger } from '../../logging.ts'
import type { Codec } from '../../ports/codec.ts'
import type { LostForGood } from '../../ports/job-log.ts'
import { pickCause, pickFailure, toOutcome } from './ending.ts'
import type { Decision } from './outcome.ts'

export interface ReportParts {
  readonly logger: Logger
  readonly codec: Codec
}

/**
 * Logs the end of a run that did not succeed. The worker that recorded it logs it after the log has answered, so each
 * end is logged once in a fleet. A payload is never logged. `outcome` marks these lines, so that a caller can show them
 * in another way.
 */
export function reportEnd(
  { logger, codec }: ReportParts,
  claim: Claim,
  decision: Decision,
  settled: Settled,
): void {
  const outcome = toOutcome(settled)
  if (outcome === 'succeeded') return
  const { id, run, attempt, maxAttempts, job } = claim
  const facts = { outcome, job: id, jobName: job.name, queue: job.queue, run, attempt, maxAttempts }
  const why =
    'failure' in decision || outcome === 'failed' ? { err: errorLine(pickFailure(decision), codec, id) } : {}
  switch (outcome) {
    case 'failed':
      logger.error({ ...facts, cause: pickCause(decision), ...why }, 'a job has failed for good')
      return
    case 'errored':
      logger.warn({ ...facts, ...why, again: again(settled) }, 'an attempt has failed; the job runs again')
      return
    case 'fenced':
      logger.warn(facts, 'the claim of a run was lost; its result does not count')
      return
    case 'released':
      reportRelease(logger, facts, decision)
      return
    case 'snoozed':
      if (decision.kind === 'snooze' && decision.parked) reportParked(logger, claim, facts, decision.reason)
      else logger.debug({ ...facts, again: again(settled) }, 'a job was snoozed')
      return
    case 'suspended':
      logger.debug({ ...facts, until: again(settled) }, 'a job waits, and goes on later')
      return
    case 'cancelled':
      // An operator's request ended the job with this run.
      if (decision.kind === 'error')
        logger.warn({ ...facts, ...why }, 'an attempt has failed; the job is cancelled')
      else logger.debug(facts, 'a job was cancelled')
      return
    default:
      outcome satisfies never
  }
}

/** Logs that a job failed whose worker is gone. The worker whose sweep recorded it logs it. */
export function reportLost({ logger, codec }: ReportParts, lost: LostForGood, error: Failure): void {
  const { job, cause, run, attempt } = lost
  const facts = { job: job.id, jobName: job.name, queue: job.queue, run, attempt, cause }
  const err = errorLine(error, codec, job.id)
  logger.error({ ...facts, err }, 'a job has failed for good: its run was lost')
}

/** If the texts of jobs are secret, only the error's name and code are logged: a message may hold parts of a payload. */
function errorLine(error: Failure, codec: Codec, job: string): object {
  if (codec.isSecret !== true) return failureLine(error)
  const { name, code } = error
  return failureLine({ name, code, message: `encrypted, as the job is; errand jobs show ${job}` })
}

function reportRelease(logger: Logger, facts: object, decision: Decision): void {
  const why: ReleaseReason | undefined = decision.kind === 'release' ? decision.why : undefined
  const meaning = why === undefined ? 'for an unknown reason' : releaseReasons[why]
  logger.info({ ...facts, why }, `a job was given back: ${meaning}`)
}

/** Logged the first time only: it goes on like that for a day. */
function reportParked(logger: Logger, claim: Claim, facts: object, reason: string | undefined): void {
  const text = 'a job cannot run in this worker; it waits for one that can'
  if (claim.parkedForMs === undefined) logger.warn({ ...facts, reason }, text)
  else logger.debug({ ...facts, reason }, text)
}

function again({ runAt }: Settled): string | undefined {
  return runAt === undefined ? undefined : new Date(runAt).toISOString()
}
