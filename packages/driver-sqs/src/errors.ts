import { defineErrors, driverError as makeError } from '@errand/core/driver-kit'
import type { ErrorTable } from '@errand/core/driver-kit'
import { isErrandError } from '@errand/core/ports'
import type { ErrandError } from '@errand/core/ports'

type Kind = 'missing' | 'recent' | 'denied' | 'credentials' | 'throttled' | 'endpoint' | 'region' | 'failing'
const throttling = /Throttl|TooManyRequests|SlowDown|OverLimit/i

/** Errors of the SDK, and failed entries of a batch. A missing queue is not final: SQS takes a while to know a new one everywhere. */
export const sqsErrors: ErrorTable<Kind> = defineErrors(
  {
    missing: {
      named: /QueueDoesNotExist|NonExistentQueue/,
      advice: 'create the queue, or let the driver do it with createQueues: true',
    },
    recent: {
      named: /QueueDeletedRecently/,
      advice: 'it was deleted less than 60 s ago, and SQS keeps its name for that time; it is tried again',
    },
    denied: {
      named: /AccessDenied|NotAuthorized|KmsAccessDenied|AuthorizationError/i,
      advice: 'allow it in the policy: docs/drivers/sqs.md lists the least rights',
      final: true,
    },
    credentials: {
      named:
        /CredentialsProvider|UnrecognizedClient|InvalidClientTokenId|InvalidSecurity|SignatureDoesNotMatch|ExpiredToken|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|OptInRequired/,
      advice: 'check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role',
      common: true,
      final: true,
    },
    throttled: {
      named: throttling,
      advice: 'this account or queue sends too many requests to SQS; the driver tries again more slowly',
      common: true,
      passing: true,
    },
    endpoint: {
      named:
        /ENOTFOUND|ECONNREFUSED|ECONNRESET|EPIPE|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CERT_|TimeoutError|ETIMEDOUT/,
      advice: 'check the region, the endpoint and the network',
      common: true,
      passing: true,
    },
    region: {
      says: /region is missing/i,
      advice: 'set the region: sqs://REGION, the option region, or AWS_REGION',
      common: true,
      final: true,
    },
    failing: {
      named: /HTTP 5\d\d/,
      advice: 'SQS itself fails; it is tried again',
      common: true,
      passing: true,
    },
  },
  readNames,
)

interface SdkError {
  readonly name?: unknown
  readonly code?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean } | null
}

function readNames(error: unknown): string {
  const { name, code, $metadata } = Object(error) as SdkError
  return `${String(name)} ${String(code)} HTTP ${$metadata?.httpStatusCode}`
}

/** Throttled by SQS or by KMS, as an error of a request or of one entry of a batch. */
export function isThrottling(name: string): boolean {
  return throttling.test(name)
}

/** Whether the same request may succeed a moment later. If the clock was wrong, the SDK has corrected it by now. */
export function isPassing(error: unknown): boolean {
  const { $metadata } = Object(error) as SdkError
  return sqsErrors.isPassing(error) || $metadata?.clockSkewCorrected === true
}

/**
 * An `E_DRIVER` that says what failed, on which queue, and what to do.
 * @param what for people: `receiving from`.
 */
export function driverError(what: string, error: unknown): ErrandError {
  if (isErrandError(error)) return error
  const cause = presentable(error)
  // Without the queue's name: an error that many queues meet then has one text, and is logged once.
  const failed = sqsErrors.isCommon(error) ? 'SQS cannot be used' : `${what} failed`
  const advice = sqsErrors.advise(error) ?? 'see the cause'
  return makeError(`${failed}: ${cause.name}: ${cause.message}; ${advice}`, cause)
}

const longestMessage = 300

/**
 * The error without its secrets. A refused signature quotes the whole canonical request with the session token, and the SDK
 * attaches the response to its errors.
 */
function presentable(error: unknown): Error {
  const { name, message, code }: Error & { readonly code?: unknown } =
    error instanceof Error ? error : new Error(String(error))
  const clean = new Error(cleaned(message))
  clean.name = typeof code === 'string' && name === 'Error' ? code : name
  delete clean.stack
  return clean
}

function cleaned(message: string): string {
  const line = message.split('\n', 1)[0] ?? ''
  return line
    .replace(/\.$/, '')
    .slice(0, longestMessage)
    .replaceAll(/\b(?:AKIA|ASIA)[A-Z0-9]{8,}\b/g, '***')
}
