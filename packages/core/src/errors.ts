import { toFailure } from './failure/to-failure.ts'
import { isError, listCauses, read } from './failure/thrown.ts'

/** Every code that Errand throws, with what it means. `docs/errors.md` is made from this table. */
export const errorCodes = {
  E_BATCH_REFUSED:
    'One request of a dispatchMany, or one job of a flow, was refused, so none was stored; `requests` says which and why.',
  E_CALL_DEADLOCK: 'A job called one that would have to wait for its caller.',
  E_CALL_FAILED: 'A job that a handler called has failed or was cancelled; its error is the cause.',
  E_CANCELLED: 'The job was cancelled.',
  E_CLAIM_LOST:
    'The log has granted this job to another run, or taken it back; the result of this run does not count.',
  E_CLOSED: 'This instance has been closed.',
  E_CODEC: 'A stored payload, result or error was written by a codec that this process does not have.',
  E_COMPLETION_LOST:
    'The handler called ctx.complete, but the transaction was rolled back or its fate is unknown.',
  E_CONFIG: 'The configuration is wrong, missing, or exports nothing.',
  E_CURSOR: 'The cursor is malformed, of another epoch of the log, or older than the oldest event kept.',
  E_DISPATCH_UNKNOWN:
    'The log did not answer: the jobs may or may not be stored. Dispatch again with the same ids.',
  E_DRIVER: 'The driver failed.',
  E_DUPLICATE_JOB: 'Two job definitions, or two handlers, have one name.',
  E_DURATION: 'Not a duration, or a negative one.',
  E_FAKE: 'fakeErrand was used wrongly: twice on one instance, or after its scope had ended.',
  E_FLOW_DEPTH: 'Flows are nested more than 8 deep.',
  E_FLOW_DUPLICATE:
    'Members of a flow are duplicates of live jobs, so none of the flow was stored; `ids` are those jobs.',
  E_FLOW_ENDED: 'The flow has ended, is being cancelled, or is not there, so nothing can be added to it.',
  E_FLOW_TOO_LARGE: 'The flow has more jobs than one commit may store; let a first member add the rest.',
  E_HOOK_TIMEOUT: 'A hook took longer than its deadline.',
  E_ID: 'The id of a job or flow is not a UUID.',
  E_KEY:
    'An ordering key, unique key, share key, limit key, tag or meta entry is empty, too long, or holds a character that no log can store.',
  E_LEASE_OUT: "This worker's lease is out: nothing is granted until a heartbeat has been answered.",
  E_LIMIT: 'A limit has values that cannot be.',
  E_LOG: 'The job log failed.',
  E_LOG_REPLACED: 'The SQLite file of the job log was deleted or replaced while this process used it.',
  E_LOG_UNREACHABLE: 'The job log cannot be reached.',
  E_LOG_VERSION: 'The schema of the job log is older or newer than this code can use.',
  E_LOST:
    'A run ended without an outcome: its worker was killed or lost its lease, or the run passed its deadline.',
  E_MISSING_LOG: 'No job log is configured and NODE_ENV is production.',
  E_MESSAGE:
    'A message cannot be sent: the job has ended or is not there, or has too many that nobody has read.',
  E_NAME: 'A name is empty or malformed.',
  E_NEED_CYCLE: 'A job needs itself, also by way of others.',
  E_NEED_LIMIT: 'A job has more than 1,000 needs; let it need a batch.',
  E_NEED_UNKNOWN: 'The log has no job or flow with the id that a job needs.',
  E_NOT_FOUND: 'There is no such job, flow, queue or worker.',
  E_NOT_ALLOWED: "The job's state or key does not allow this.",
  E_OPTION: 'An option is unknown, or its value is wrong.',
  E_OUTCOME: 'An outcome was made with ctx.retry, snooze, fail, cancel or release, and not returned.',
  E_OUTPUT: 'What the command prints cannot be written: the disk is full, or gone.',
  E_PACKAGE_MISSING: 'The package for this URL is not installed; the message says which to add.',
  E_PAYLOAD_INVALID: "The payload does not fit the job's schema.",
  E_PAYLOAD_NOT_SERIALIZABLE: 'JSON cannot carry the payload.',
  E_PAYLOAD_TOO_LARGE: 'The payload is over the limit.',
  E_PERMANENT: 'The handler said that a retry is useless.',
  E_READ_ONLY: 'The SQLite file, or its folder, cannot be written.',
  E_RESULT_FAILED: 'The job or flow whose result was awaited has failed or was cancelled.',
  E_RESULT_INVALID: "The handler's result does not fit the job's schema, is too large, or cannot be stored.",
  E_RESULT_TIMEOUT: 'The job or flow did not end within the time given.',
  E_RIGHTS: 'The database user of the job log lacks a right; the message names it.',
  E_SCHEDULE: 'A schedule has times that cannot be read, or that never come.',
  E_SHUTDOWN: 'The worker is stopping.',
  E_STEP_LIMIT: 'A job has more steps, waits or text than it may remember.',
  E_STEP_NAME: 'The name of a step is malformed, or stands twice in one run.',
  E_STEP_NESTED: 'A step or a wait was begun inside a step.',
  E_STEP_RESULT: 'The stored result of a step does not fit here, or cannot be stored.',
  E_STEP_TOO_LARGE: 'The result of a step is larger than 64 KiB.',
  E_TIMEOUT: 'The run took longer than its timeout.',
  E_TRANSACTION: 'The value given as `tx` is not a transaction that Errand knows, or is a pool.',
  E_TYPESCRIPT: 'The file uses TypeScript that Node cannot strip, and the project has no tsx.',
  E_UNKNOWN_JOB: 'This worker has no handler for this job.',
  E_URL: 'The URL cannot be read, or its scheme is unknown.',
} as const

export type ErrorCode = keyof typeof errorCodes

export interface ErrorDetails {
  readonly cause?: unknown
  /** Ids of the jobs that the failed call was about: dispatching again with them is safe. */
  readonly ids?: readonly string[] | undefined
  /** Per request of a refused batch, why; undefined if the request was in order. */
  readonly requests?: readonly (ErrandError | undefined)[] | undefined
  /** For job logs: nothing can have come of the call, because nothing was sent, or all of it was refused. */
  readonly undone?: boolean | undefined
  readonly name?: string | undefined
}

/**
 * An error of Errand. Tell errors apart by `code`, never by `instanceof` (two copies of a package may be loaded) and
 * never by the message.
 * @example try { await errand.dispatch(job, payload) } catch (error) { if (isErrandError(error, 'E_PAYLOAD_TOO_LARGE')) … }
 */
export class ErrandError extends Error {
  readonly code: ErrorCode
  // Declared, not fields: one that is not given is not shown where the error is printed.
  declare readonly ids: readonly string[] | undefined
  declare readonly requests: readonly (ErrandError | undefined)[] | undefined
  declare readonly undone: boolean | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = details.name ?? 'ErrandError'
    this.code = code
    const { ids, requests, undone } = details
    if (ids !== undefined) this.ids = ids
    if (requests !== undefined) this.requests = requests
    if (undone !== undefined) this.undone = undone
  }
}

/** True when `error` is an ErrandError, of the given code where one is given; of any realm and any copy of this package. */
export function isErrandError(error: unknown, code?: ErrorCode): error is ErrandError {
  if (!isError(error)) return false
  const its = read(error as object, 'code')
  return code === undefined ? typeof its === 'string' && Object.hasOwn(errorCodes, its) : its === code
}

/**
 * Throw it in a handler when trying again is useless: the job fails for good, whatever its retry policy says.
 * It is found through `cause` as well, so it may be wrapped on its way up.
 * @example throw new PermanentError('the customer was deleted')
 */
export class PermanentError extends ErrandError {
  constructor(message: string, details: ErrorDetails = {}) {
    super('E_PERMANENT', message, { ...details, name: 'PermanentError' })
  }
}

/** Whether the error, or one that it was caused by, is a PermanentError. */
export function isPermanent(error: unknown): boolean {
  return listCauses(error).some((each) => isErrandError(each, 'E_PERMANENT'))
}

/** Why `ctx.signal` aborted: the run took longer than its timeout. Code `E_TIMEOUT`. */
export const timeoutError = (message: string): ErrandError =>
  new ErrandError('E_TIMEOUT', message, { name: 'TimeoutError' })
/** Why `ctx.signal` aborted: somebody cancelled the job. Code `E_CANCELLED`. */
export const cancelledError = (message: string): ErrandError =>
  new ErrandError('E_CANCELLED', message, { name: 'CancelledError' })
/** Why `ctx.signal` aborted: this run's claim is no longer valid. Code `E_CLAIM_LOST`. */
export const claimLostError = (message: string): ErrandError =>
  new ErrandError('E_CLAIM_LOST', message, { name: 'ClaimLostError' })
/** Why `ctx.signal` aborted: the worker stops and its grace is over. Code `E_SHUTDOWN`. */
export const shutdownError = (message: string): ErrandError =>
  new ErrandError('E_SHUTDOWN', message, { name: 'ShutdownError' })

/** What was thrown, as an Error: anything can be thrown. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(toFailure(thrown).message, { cause: thrown })
}
