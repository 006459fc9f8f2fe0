import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { summaryOf } from '../failure/failure.ts'
import { errorFrom } from '../failure/from-failure.ts'
import { checkId } from '../ids.ts'
import { inTime } from '../in-time.ts'
import { isFinal } from '../job/state.ts'
import { checkOptions } from '../options.ts'
import { errorOf as belongsToError, resultOf as belongsToResult } from '../ports/codec.ts'
import type { JobRecord } from '../ports/history.ts'
import type { OperateDeps } from './connection.ts'
import { decoded, decodedFailure } from './decode.ts'
import { knownJob } from './known-job.ts'

export interface ResultOptions {
  /** Rejects with `E_RESULT_TIMEOUT` after so long; the job goes on. Default: waits as long as it takes. */
  readonly timeout?: Duration | undefined
  /** Rejects with the signal's reason; the job goes on. */
  readonly signal?: AbortSignal | undefined
}

/** Made once: an abort without a reason makes an error with a stack. */
const answered = new Error('the result is known')

/** Waits for the end of a job. See `Errand.result`. */
export async function resultOf(deps: OperateDeps, id: string, options: ResultOptions = {}): Promise<unknown> {
  checkOptions('result()', options, ['timeout', 'signal'])
  const { timeout, signal } = options
  const jobId = checkId(id)
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  signal?.throwIfAborted()
  const stop = new AbortController()
  const ended = AbortSignal.any([stop.signal, deps.closing, ...(signal ? [signal] : [])])
  // Whatever is asked or connected at that moment: it may take as long as it likes, or never end.
  const givenUp = new Promise<never>((_, reject) => {
    ended.addEventListener('abort', () => {
      if (ended.reason === answered) return
      // The reason of a caller's signal may be anything.
      if (signal?.aborted === true) reject(signal.reason as Error)
      else reject(new ErrandError('E_CLOSED', 'the instance was closed; the job goes on'))
    })
  })
  try {
    const end = untilEnded(deps, jobId, timeoutMs, ended).then((record) => endOf(deps, record))
    return await Promise.race([end, givenUp])
  } finally {
    stop.abort(answered)
  }
}

/** The record of the job once it has ended. */
async function untilEnded(
  deps: OperateDeps,
  id: string,
  timeoutMs: number | undefined,
  signal: AbortSignal,
): Promise<JobRecord> {
  const { clock } = deps
  const endsAtMs = clock.monotonicMs() + (timeoutMs ?? Number.POSITIVE_INFINITY)
  const { log, unfinished, endings } = await deps.connected()
  for (;;) {
    const over = endings.ended(id, signal)
    over.catch(() => undefined)
    if (await unfinished(id)) {
      const leftMs = Math.max(0, endsAtMs - clock.monotonicMs())
      await (timeoutMs === undefined ? over : inTime(over, leftMs, clock, () => undefined))
    }
    const record = await knownJob(log, id)
    if (isFinal(record.state)) return record
    if (signal.aborted || (timeoutMs !== undefined && clock.monotonicMs() >= endsAtMs)) {
      throw new ErrandError('E_RESULT_TIMEOUT', `job ${id} is ${record.state} after ${timeoutMs} ms`, {
        ids: [id],
      })
    }
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
