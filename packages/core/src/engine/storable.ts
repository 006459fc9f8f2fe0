import type { NewJob } from '../job/job.ts'
import type { SettledOutcome } from '../job/outcome.ts'
import { ErrandError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Encoded } from '../ports/codec.ts'

/** A text must come back unchanged, or it is refused: UTF-8 would turn a lone surrogate into U+FFFD. */
export function isStorable({ text }: Encoded): boolean {
  return text.isWellFormed()
}

export const unstorablePayload = 'the payload holds a lone surrogate, which no log can store'

/** Throws if one of the jobs cannot be stored and the call is all or nothing. */
export function refuseWhole(jobs: readonly NewJob[]): void {
  if (jobs.every((job) => isStorable(job.payload))) return
  throw new ErrandError('E_BATCH_REFUSED', `nothing was stored; ${unstorablePayload}`, {
    ids: jobs.map((job) => job.id),
    requests: jobs.map((job) =>
      isStorable(job.payload) ? undefined : new ErrandError('E_PAYLOAD_NOT_SERIALIZABLE', unstorablePayload),
    ),
  })
}

/** The outcome as the log can record it. A result that cannot be stored fails its job: another run would end the same. */
export function storableOutcome(outcome: SettledOutcome): SettledOutcome {
  if (outcome.kind === 'succeed') {
    if (!outcome.result || isStorable(outcome.result)) return outcome
    return {
      kind: 'error',
      error: plainError('result not storable', 'E_RESULT_INVALID'),
      cause: 'error',
      retryInMs: undefined,
    }
  }
  return 'error' in outcome && !isStorable(outcome.error)
    ? { ...outcome, error: plainError('error not storable', 'E_LOG') }
    : outcome
}

/** The log writes this error itself, so it is plain JSON for every codec of the workers. */
export function plainError(message: string, code: ErrorCode): Encoded {
  return { codec: 'json', text: JSON.stringify({ name: 'ErrandError', message, code }) }
}
