import { ErrandError, isErrandError } from '@errand/core/ports'

/** What an error of the SDK, or a failed entry of a batch, is about. */
export type Trouble =
  | 'missing'
  | 'denied'
  | 'credentials'
  | 'region'
  | 'endpoint'
  | 'throttled'
  | 'recent'
  | 'other'

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
  [/Throttl|TooManyRequests|SlowDown|OverLimit/i, 'throttled'],
  [/ENOTFOUND|ECONNREFUSED|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CERT_|TimeoutError|ETIMEDOUT/, 'endpoint'],
]

const advice: Readonly<Record<Trouble, string>> = {
  missing: 'create the queue, or let the driver do it with createQueues: true',
  recent: 'it was deleted less than 60 s ago, and SQS keeps its name for so long; it is tried again',
  denied: 'allow it in the policy: docs/drivers/sqs.md has the least ones',
  credentials: 'check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role',
  region: 'set the region: sqs://REGION, the option region, or AWS_REGION',
  endpoint: 'check the region, the endpoint and the network',
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
  return /region is missing/i.test(String(message)) ? 'region' : 'other'
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
  return new ErrandError(
    'E_DRIVER',
    `${what} failed: ${cause.name}: ${cause.message}; ${advice[troubleOf(error)]}`,
    {
      cause,
    },
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
