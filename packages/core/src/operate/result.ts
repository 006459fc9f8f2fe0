import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { summaryOf } from '../failure/failure.ts'
import { errorFrom } from '../failure/from-failure.ts'
import { checkId } from '../ids.ts'
import { isFinal } from '../job/state.ts'
import { checkOptions } from '../options.ts'
import { errorOf as belongsToError, resultOf as belongsToResult } from '../ports/codec.ts'
import type { JobRecord } from '../ports/history.ts'
import type { Bell } from './bell.ts'
import type { OperateDeps } from './connection.ts'
import { decoded, decodedFailure } from './decode.ts'
import { knownJob } from './known-job.ts'

export interface ResultOptions {
  /** Rejects with `E_RESULT_TIMEOUT` after so long; the job goes on. Default: waits as long as it takes. */
  readonly timeout?: Duration | undefined
  /** Rejects with the signal's reason; the job goes on. */
  readonly signal?: AbortSignal | undefined
}

/** Waits for the end of a job. See `Errand.result`. */
export async function resultOf(
  deps: OperateDeps,
  bell: () => Promise<Bell>,
  id: string,
  options: ResultOptions = {},
): Promise<unknown> {
  checkOptions('result()', options, ['timeout', 'signal'])
  const { timeout, signal } = options
  const jobId = checkId(id)
  const timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : durationMs(timeout, 'timeout')
  signal?.throwIfAborted()
  const endsAtMs = deps.clock.monotonicMs() + timeoutMs
  const stop = new AbortController()
  const ended = AbortSignal.any([stop.signal, deps.closing, ...(signal ? [signal] : [])])
  try {
    const { log, unfinished } = await deps.connected()
    const listening = (await bell()).listen(ended)
    for (;;) {
      const goesOn = await unfinished(jobId)
      signal?.throwIfAborted()
      const leftMs = endsAtMs - deps.clock.monotonicMs()
      if (!goesOn || leftMs <= 0) {
        const record = await knownJob(log, jobId)
        if (isFinal(record.state)) return await endOf(deps, record)
        if (leftMs <= 0) {
          throw new ErrandError('E_RESULT_TIMEOUT', `job ${jobId} is ${record.state} after ${timeoutMs} ms`, {
            ids: [jobId],
          })
        }
      }
      await listening.rung(Math.min(leftMs, deps.settings.followEveryMs))
      if (deps.closing.aborted) throw new ErrandError('E_CLOSED', 'the instance was closed; the job goes on')
      signal?.throwIfAborted()
    }
  } finally {
    stop.abort()
  }
}

async function endOf({ codec }: OperateDeps, record: JobRecord): Promise<unknown> {
  const { id, name, state } = record
  if (state === 'succeeded') return record.result && decoded(codec, record.result, belongsToResult(id))
  const failure = record.error && (await decodedFailure(codec, record.error, belongsToError(id)))
  const why =
    state === 'cancelled'
      ? 'was cancelled'
      : `failed: ${failure ? summaryOf(failure) : 'no error was recorded'}`
  throw new ErrandError('E_RESULT_FAILED', `${name} (${id}) ${why}`, {
    ids: [id],
    cause: failure && errorFrom(failure),
  })
}
