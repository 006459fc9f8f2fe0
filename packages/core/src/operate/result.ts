import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { summarize } from '../failure/failure.ts'
import { errorFrom } from '../failure/from-failure.ts'
import { checkId } from '../ids.ts'
import { isFinal } from '../job/state.ts'
import { checkOptions } from '../options.ts'
import { asError, asResult } from '../ports/codec.ts'
import type { Encoded } from '../ports/codec.ts'
import type { JobRecord } from '../ports/history.ts'
import type { OperateDeps } from './connection.ts'
import { decoded, decodedFailure } from './decode.ts'
import type { JobNews, JobWatch, Waiting } from './job-watch.ts'
import { knownJob } from './known-job.ts'

export interface ResultOptions {
  /** Rejects with `E_RESULT_TIMEOUT` after this time; the job goes on. Default: no limit. */
  readonly timeout?: Duration | undefined
  /** Rejects with the signal's reason; the job goes on. */
  readonly signal?: AbortSignal | undefined
}

/** Waits for the end of a job. See `Errand.result`. */
export async function waitForResult(
  deps: OperateDeps,
  id: string,
  options: ResultOptions = {},
): Promise<unknown> {
  checkOptions('result()', options, ['timeout', 'signal'])
  const { timeout, signal } = options
  const jobId = checkId(id)
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  signal?.throwIfAborted()
  return new PendingResult(deps, jobId, timeoutMs, signal).promise
}

/** One call of `result()`. Thousands may be pending at a time, so it is one object with few promises of its own. */
class PendingResult implements Waiting {
  readonly promise: Promise<unknown>
  readonly past: number = Number.POSITIVE_INFINITY
  readonly #deps: OperateDeps
  readonly #id: string
  #resolve!: (result: unknown) => void
  #reject!: (reason: unknown) => void
  #watch: JobWatch | undefined
  #over = false
  #unlimited: (() => void) | undefined

  constructor(deps: OperateDeps, id: string, timeoutMs: number | undefined, signal: AbortSignal | undefined) {
    this.#deps = deps
    this.#id = id
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // A look or a connection may take any time, or never end.
    deps.closing.add(this)
    if (timeoutMs !== undefined || signal) this.#limit(timeoutMs, signal)
    void this.#begin()
  }

  closed(): void {
    this.fail(new ErrandError('E_CLOSED', 'the instance was closed; the job goes on'))
  }

  tell(news: JobNews): void {
    void (news.kind === 'succeeded' ? this.#succeeded(news.result) : this.#look(undefined))
  }

  /** Called also with the reason of a caller's signal, which may be any value. */
  fail(reason: unknown): void {
    this.#end()
    this.#reject(reason)
  }

  #limit(timeoutMs: number | undefined, signal: AbortSignal | undefined): void {
    const abort = (): void => this.fail(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const stop =
      timeoutMs === undefined
        ? undefined
        : this.#deps.clock.after(timeoutMs, () => void this.#look(timeoutMs))
    this.#unlimited = () => {
      signal?.removeEventListener('abort', abort)
      stop?.()
    }
  }

  async #begin(): Promise<void> {
    try {
      const { watch } = await this.#deps.connected()
      this.#watch = watch
      if (!this.#over) watch.add(this.#id, this)
    } catch (error) {
      this.fail(error)
    }
  }

  async #succeeded(result: Encoded | undefined): Promise<void> {
    try {
      this.#answer(result && (await decoded(this.#deps.codec, result, asResult(this.#id))))
    } catch (error) {
      this.fail(error)
    }
  }

  /** Reads the state of the job. @param timeoutMs set when the time is over */
  async #look(timeoutMs: number | undefined): Promise<void> {
    try {
      const { log } = await this.#deps.connected()
      const record = await knownJob(log, this.#id)
      if (isFinal(record.state)) this.#answer(await readResult(this.#deps, record))
      else if (timeoutMs !== undefined) throw timedOut(record, timeoutMs)
      // The job was replayed: go on waiting.
      else if (!this.#over) this.#watch?.add(this.#id, this)
    } catch (error) {
      this.fail(error)
    }
  }

  #answer(result: unknown): void {
    this.#end()
    this.#resolve(result)
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#deps.closing.remove(this)
    this.#watch?.remove(this.#id, this)
    this.#unlimited?.()
  }
}

function timedOut({ id, state }: JobRecord, timeoutMs: number): ErrandError {
  return new ErrandError('E_RESULT_TIMEOUT', `job ${id} is ${state} after ${timeoutMs} ms`, { ids: [id] })
}

async function readResult({ codec }: OperateDeps, record: JobRecord): Promise<unknown> {
  const { id, name, state } = record
  if (state === 'succeeded') return record.result && decoded(codec, record.result, asResult(id))
  const failure = record.error && (await decodedFailure(codec, record.error, asError(id)))
  const why =
    state === 'cancelled'
      ? 'was cancelled'
      : `failed: ${failure ? summarize(failure) : 'no error was recorded'}`
  throw new ErrandError('E_RESULT_FAILED', `${name} (${id}) ${why}`, {
    ids: [id],
    cause: failure && errorFrom(failure),
  })
}
