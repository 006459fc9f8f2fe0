import { isErrandError } from '@errand/core/ports'
import type { ErrorCode } from '@errand/core/ports'

/** What the command's exit code means. `docs/cli.md` has this table. */
export const exitCodes = {
  ok: 0,
  /** It did not work: a job failed, `doctor` found an error, or something unexpected happened. */
  failure: 1,
  /** Wrong use: an unknown option, a payload that does not fit, a missing `--yes`. */
  usage: 2,
  /** No such job, flow, queue, schedule, limit, worker or job definition. */
  notFound: 3,
  /** The job log or the broker cannot be reached. Trying again may help. */
  unreachable: 4,
  /** The project's own files are wrong: the configuration, the worker file, a missing package. */
  project: 5,
  /** Not allowed by the state of the job, by its key, or by the rights of the database user. */
  refused: 6,
  /** The log's schema does not fit this code: `errand migrate`. */
  schema: 7,
  /** Ended by Ctrl-C before it was done. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const byErrorCode: Partial<Record<ErrorCode, ExitCode>> = {
  E_OPTION: exitCodes.usage,
  E_DURATION: exitCodes.usage,
  E_NAME: exitCodes.usage,
  E_ID: exitCodes.usage,
  E_KEY: exitCodes.usage,
  E_LIMIT: exitCodes.usage,
  E_CURSOR: exitCodes.usage,
  E_PAYLOAD_INVALID: exitCodes.usage,
  E_PAYLOAD_NOT_SERIALIZABLE: exitCodes.usage,
  E_PAYLOAD_TOO_LARGE: exitCodes.usage,
  E_NOT_FOUND: exitCodes.notFound,
  E_UNKNOWN_JOB: exitCodes.notFound,
  E_NEED_UNKNOWN: exitCodes.notFound,
  E_LOG_UNREACHABLE: exitCodes.unreachable,
  E_DISPATCH_UNKNOWN: exitCodes.unreachable,
  E_DRIVER: exitCodes.unreachable,
  E_CONFIG: exitCodes.project,
  E_DUPLICATE_JOB: exitCodes.project,
  E_MISSING_LOG: exitCodes.project,
  E_PACKAGE_MISSING: exitCodes.project,
  E_READ_ONLY: exitCodes.project,
  E_TYPESCRIPT: exitCodes.project,
  E_URL: exitCodes.project,
  E_MESSAGE: exitCodes.refused,
  E_NOT_ALLOWED: exitCodes.refused,
  E_RIGHTS: exitCodes.refused,
  E_LOG_VERSION: exitCodes.schema,
}

export function toExitCode(error: unknown): ExitCode {
  return (isErrandError(error) ? byErrorCode[error.code] : undefined) ?? exitCodes.failure
}
