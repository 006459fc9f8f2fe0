import { ErrandError, isErrandError } from '@errand/core/ports'

/** What an error of the SDK, or a failed entry of a batch, is about. */
export type Trouble =
  | 'missing'
  | 'denied'
  | 'credentials'
  | 'region'
  | 'endpoint'
  | 'throttled'
  | 'failing'
  | 'recent'
  | 'other'

const throttling = /Throttl|TooManyRequests|SlowDown|OverLimit/i

const byName: readonly (readonly [RegExp, Trouble])[] = [
  [/QueueDoesNotExist|NonExistentQueue/, 'missing'],
  [/QueueDeletedRecently/, 'recent'],
  [/AccessDenied|NotAuthorized|KmsAccessDenied|AuthorizationError/i, 'denied'],
  [
    /CredentialsProvider|UnrecognizedClient|InvalidClientTokenId|InvalidSecurity|SignatureDoesNotMatch/,
    'credentials',
  ],
  [
    /ExpiredToken|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|OptInRequired/,
    'credentials',
  ],
  [throttling, 'throttled'],
  [
    /ENOTFOUND|ECONNREFUSED|ECONNRESET|EPIPE|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CERT_|TimeoutError|ETIMEDOUT/,
    'endpoint',
  ],
]

const advice: Readonly<Record<Trouble, string>> = {
  missing: 'create the queue, or let the driver do it with createQueues: true',
  recent: 'it was deleted less than 60 s ago, and SQS keeps its name for so long; it is tried again',
  denied: 'allow it in the policy: docs/drivers/sqs.md has the least ones',
  credentials: 'check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role',
  region: 'set the region: sqs://REGION, the option region, or AWS_REGION',
  endpoint: 'check the region, the endpoint and the network',
  failing: 'SQS itself fails; it is tried again',
  throttled: 'SQS is asked too often for this account or queue; it is tried again more slowly',
  other: 'see the cause',
}

export function troubleOf(error: unknown): Trouble {
  if (isErrandError(error)) return error.cause === undefined ? 'other' : troubleOf(error.cause)
  // Whatever was thrown: `Object(null)` is an object as well.
  const { name, code, message } = Object(error) as { name?: unknown; code?: unknown; message?: unknown }
  const text = `${String(name)} ${String(code)}`
  const found = byName.find(([pattern]) => pattern.test(text))?.[1]
  if (found) return found
  if (/region is missing/i.test(String(message))) return 'region'
  return statusOf(error) >= firstServerError ? 'failing' : 'other'
}

const firstServerError = 500

interface Metadata {
  readonly httpStatusCode?: number | undefined
  readonly clockSkewCorrected?: boolean | undefined
}

function metadataOf(error: unknown): Metadata {
  const { $metadata } = Object(error) as { readonly $metadata?: Metadata | null | undefined }
  return $metadata ?? {}
}

function statusOf(error: unknown): number {
  return metadataOf(error).httpStatusCode ?? 0
}

/** Throttled by SQS or by KMS, as an error of a request or of one entry of a batch. */
export function isThrottling(name: string): boolean {
  return throttling.test(name)
}

/** Whether the same request may well succeed a moment later. The SDK has set its clock right where that was wrong. */
export function isPassing(error: unknown): boolean {
  return (
    ['throttled', 'failing', 'endpoint'].includes(troubleOf(error)) ||
    metadataOf(error).clockSkewCorrected === true
  )
}

/** Of SQS as a whole, or of who asks: every queue meets the same. */
export function isCommon(error: unknown): boolean {
  return ['credentials', 'region', 'endpoint', 'failing', 'throttled'].includes(troubleOf(error))
}

/** Whether trying again is in vain until a person has helped. A missing queue is not: a new one takes a while to be known everywhere. */
export function isFinal(error: unknown): boolean {
  return ['denied', 'credentials', 'region'].includes(troubleOf(error))
}

/**
 * An `E_DRIVER` that says what failed, on which queue, and what to do.
 * @param what for people: `receiving from`.
 */
export function driverError(what: string, error: unknown): ErrandError {
  if (isErrandError(error)) return error
  const cause = presentable(error)
  // Without the queue, so that what many queues meet reads alike, and is said once.
  const failed = isCommon(error) ? 'SQS cannot be used' : `${what} failed`
  return new ErrandError(
    'E_DRIVER',
    `${failed}: ${cause.name}: ${cause.message}; ${advice[troubleOf(error)]}`,
    { cause },
  )
}

const longestMessage = 300

/**
 * The error without what must not be shown: a refused signature comes with the whole canonical request, session token
 * included, and the SDK hangs the response on its errors.
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
