import { ErrandError, isErrandError, longestMemory, mostSteps } from '@errand/core/ports'
import type { ErrorCode } from '@errand/core/ports'
import { HostError } from './hosts.ts'
import { classify } from './sqlstates.ts'

/** SQLSTATEs that the log's own functions raise. */
const leaseOutState = 'ERR01'
const claimLostState = 'ERR02'
const stepLimitState = 'ERR04'

/**
 * The SQLSTATE, or the system's code, of an error: its own or that of what it wraps, because every library of a caller's
 * transaction wraps differently.
 */
function stateOfError(error: unknown): string | undefined {
  let found: string | undefined
  let at: unknown = error
  for (let depth = 0; isObject(at) && depth < 6; depth++) {
    // Prisma has codes of its own. It keeps the database's code in `meta`, now inside its driver adapter's error.
    for (const code of [
      at['originalCode'],
      isObject(at['meta']) ? at['meta']['code'] : undefined,
      at['code'],
    ])
      if (typeof code === 'string' && !/^(P[12]\d{3}|E_[A-Z_]+)$/.test(code)) found ??= code
    const meta = at['meta']
    // Sequelize calls it so.
    at = at['cause'] ?? at['original'] ?? (isObject(meta) ? meta['driverAdapterError'] : undefined)
  }
  return found
}

/**
 * Deadlock, serialization failure, and rows that went to the default partition while one was made for their day. The
 * database rolled back the whole statement, so it is sent again.
 */
export function isTakenBack(error: unknown): boolean {
  const state = stateOfError(error)
  return state === '40P01' || state === '40001' || (state === '23514' && isOfDefaultPartition(error))
}

/** A partition's bounds have no name, as checks have. */
function isOfDefaultPartition(error: unknown): boolean {
  return isObject(error) && error['table'] === 'events_default' && error['constraint'] === undefined
}

/** A lock was not granted in time. */
export function isLockTimeout(error: unknown): boolean {
  return stateOfError(error) === '55P03'
}

/** All connections that the server allows are in use. */
export function isServerFull(error: unknown): boolean {
  return stateOfError(error) === '53300'
}

/** A row with this key exists already. */
export function isDuplicateId(error: unknown): boolean {
  return stateOfError(error) === '23505'
}

/** The data of some row was refused: invalid or too large for a column, an index or the program, or damaged where it lies. */
export function isRefusedData(error: unknown): boolean {
  return /^(22|23|54|XX)/.test(stateOfError(error) ?? '')
}

const lostSystemCodes = new Set(
  'ECONNREFUSED ECONNRESET ECONNABORTED EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOTFOUND EAI_AGAIN ENOENT'.split(
    ' ',
  ),
)
// pg has no codes for these.
const lostMessage =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded|timeout expired|Query read timeout|Cannot use a pool after)/

/** The connection is gone, or never existed. Whether the statement ran is unknown. */
export function isLostConnection(error: unknown): boolean {
  const state = stateOfError(error)
  if (state !== undefined) return lostSystemCodes.has(state) || classify(state) === 'lost'
  if (error instanceof AggregateError) return error.errors.some((one) => isLostConnection(one))
  if (error instanceof HostError) return isLostConnection(error.cause)
  return error instanceof Error && lostMessage.test(error.message)
}

/** The statement was refused because of its connection, and nothing was done. */
export function isUseless(error: unknown): boolean {
  return classify(stateOfError(error) ?? '') === 'useless'
}

/** This connection must not be used again. */
export function isSpent(error: unknown): boolean {
  return isLostConnection(error) || classify(stateOfError(error) ?? '') !== undefined
}

/** The server, or each of them, answers but is read-only. */
function isReadOnly(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some((one) => isReadOnly(one))
  return stateOfError(error) === '25006'
}

/** The session was ended because of a setting of the role, the database or the server, of version 17 and later. */
const transactionTimeout = '25P04'

const inTransactionMode =
  'behind a pooler in transaction mode, such as PgBouncer, the URL of the job log needs ?listen=false&preparedStatements=false'

/**
 * What the server refused and what to do, if poolers cause it: parameters of a session, and prepared statements when
 * each transaction is in another session.
 */
function poolerRefusal(error: unknown): string | undefined {
  if (error instanceof AggregateError) return error.errors.map((one) => poolerRefusal(one)).find(Boolean)
  const state = stateOfError(error)
  if (state === '08P01' && reason(error).includes('startup parameter'))
    return `refuses the parameters that start a session (${reason(error)}); ${inTransactionMode}. A pooler in session mode accepts them with the setting ignore_startup_parameters = statement_timeout, options`
  // Not known in this session, or known from somebody else's.
  if (state === '26000' || state === '42P05')
    return `does not keep prepared statements (${reason(error)}); ${inTransactionMode}`
  return undefined
}

/** Codes of an unknown schema, table or function. */
const missing = new Set(['42P01', '3F000', '42883', '42703'])

export function isMissingSchema(error: unknown): boolean {
  return missing.has(stateOfError(error) ?? '')
}

/** Like `logError`, for a statement of the caller's transaction, which may be on another database. */
export function insideError(error: unknown, place: string): ErrandError {
  if (!isMissingSchema(error)) return logError(error, place)
  return new ErrandError(
    'E_TRANSACTION',
    `the database of this transaction has no job log in the schema of the one at ${place}; tx must be on the log's own database`,
    { cause: error },
  )
}

/**
 * The error as users see it: a code, what to do, and the cause.
 * @param undone the statement had no effect: it was not sent, or it was refused.
 */
export function logError(error: unknown, place: string, undone = false): ErrandError {
  if (isErrandError(error)) return error
  const state = stateOfError(error) ?? ''
  const say = (code: ErrorCode, message: string): ErrandError =>
    new ErrandError(code, message, { cause: error, undone })
  if (state === leaseOutState)
    return say('E_LEASE_OUT', 'the lease of this worker is out; nothing is granted before its next heartbeat')
  if (state === claimLostState)
    return say(
      'E_CLAIM_LOST',
      'this run has lost its claim, so its transaction cannot commit; let it roll back',
    )
  if (state === stepLimitState)
    return say(
      'E_STEP_LIMIT',
      `a job remembers at most ${mostSteps} steps and waits, and ${longestMemory} characters; dispatch another job for the rest`,
    )
  if (isReadOnly(error))
    return say(
      'E_LOG_UNREACHABLE',
      `the job log at ${place} cannot be written (${reason(error)}); it needs the primary, and works again when the URL leads there. To read a standby add target_session_attrs=any`,
    )
  const pooler = poolerRefusal(error)
  if (pooler !== undefined) return say('E_LOG_UNREACHABLE', `the server at ${place} answers, and ${pooler}`)
  if (state === transactionTimeout)
    return say(
      'E_LOG_UNREACHABLE',
      `PostgreSQL at ${place} ended the session of the job log because its transaction took longer than transaction_timeout (${state}); lift it for the user of the job log: alter role … set transaction_timeout = 0`,
    )
  if (isLostConnection(error))
    return say(
      'E_LOG_UNREACHABLE',
      `the job log at ${place} cannot be reached (${reason(error)}); is PostgreSQL running, and the URL right?`,
    )
  if (state === '28000' && reason(error).startsWith('no PostgreSQL user name'))
    return say(
      'E_LOG_UNREACHABLE',
      `the job log's URL names no user for PostgreSQL at ${place}, and neither PGUSER nor USER is set; write postgres://<user>@<host>/<database>`,
    )
  if (state.startsWith('28'))
    return say(
      'E_LOG_UNREACHABLE',
      `PostgreSQL at ${place} refused the user or the password of the job log's URL: ${reason(error)} (${state})`,
    )
  if (state === '3D000')
    return say(
      'E_LOG_UNREACHABLE',
      `there is no such database: ${place}; create it, or correct the job log's URL`,
    )
  if (isMissingSchema(error))
    return say(
      'E_LOG_VERSION',
      `the database at ${place} has no job log in this schema, or another version of it; run: errand migrate`,
    )
  if (state === '42501')
    return say(
      'E_RIGHTS',
      `the user of the job log at ${place} lacks a right: ${reason(error)}; errand roles prints what each role needs`,
    )
  if (state === '53100')
    return say(
      'E_LOG',
      `the disk of PostgreSQL at ${place} is full, and nothing was stored (${reason(error)}); make room`,
    )
  if (state === '57014')
    return say('E_LOG', `a statement of the job log at ${place} took longer than statementTimeout`)
  if (state === '55P03')
    return say(
      'E_LOG',
      'a row of the job log is locked by another transaction for too long; errand doctor names open transactions',
    )
  return say('E_LOG', `the job log at ${place} failed: ${reason(error)}`)
}

function reason(error: unknown): string {
  // Of several servers each has its own.
  if (error instanceof AggregateError && error.errors.some((each) => each instanceof HostError))
    return error.message
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
