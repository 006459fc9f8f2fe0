import type { Failure } from './failure/failure.ts'
import { isError } from './failure/thrown.ts'
import { toFailure } from './failure/to-failure.ts'
import { maskCredentials } from './masking.ts'

/** What Errand logs to: pino's methods, so that any pino instance, or a child of one, fits. */
export interface Logger {
  debug(o: object, m?: string): void
  info(o: object, m?: string): void
  warn(o: object, m?: string): void
  error(o: object, m?: string): void
}

/** A pino child where the logger can make one; else the same lines with the bindings in each. */
export function childLogger(logger: Logger, bindings: Readonly<Record<string, unknown>>): Logger {
  const makesChildren = logger as Logger & { child?(bindings: object): Logger }
  if (typeof makesChildren.child === 'function') return makesChildren.child(bindings)
  return {
    debug: (o, m) => logger.debug({ ...bindings, ...o }, m),
    info: (o, m) => logger.info({ ...bindings, ...o }, m),
    warn: (o, m) => logger.warn({ ...bindings, ...o }, m),
    error: (o, m) => logger.error({ ...bindings, ...o }, m),
  }
}

/**
 * The same logger, with credentials in URLs masked: errors of client libraries carry connection strings. Payloads and
 * results are never handed to a logger in the first place. A field whose key pino writes itself gets an underscore behind
 * it: pino would write the key twice.
 */
export function maskingLogger(logger: Logger): Logger {
  const taken = listKeys(logger)
  const fields = (o: object): object => withoutTaken(masked(o) as object, taken)
  return {
    debug: (o, m) => logger.debug(fields(o), maskedMessage(m)),
    info: (o, m) => logger.info(fields(o), maskedMessage(m)),
    warn: (o, m) => logger.warn(fields(o), maskedMessage(m)),
    error: (o, m) => logger.error(fields(o), maskedMessage(m)),
  }
}

/** The keys that a pino logger writes in each line: its own, and its bindings. Other loggers have none that is known. */
function listKeys(logger: Logger): ReadonlySet<string> {
  const { bindings } = logger as Logger & { bindings?: () => object }
  if (typeof bindings !== 'function') return new Set()
  return new Set(['level', 'time', 'pid', 'hostname', 'msg', ...Object.keys(bindings.call(logger))])
}

function withoutTaken(fields: object, taken: ReadonlySet<string>): object {
  if (!Object.keys(fields).some((key) => taken.has(key))) return fields
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [taken.has(key) ? `${key}_` : key, value as unknown]),
  )
}

function maskedMessage(message: string | undefined): string | undefined {
  return message === undefined ? undefined : maskCredentials(message)
}

const deepest = 5

function masked(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskCredentials(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > deepest) return '[…]'
  if (isError(value)) return failureLine(toFailure(value))
  if (Array.isArray(value)) return value.map((each) => masked(each, depth + 1))
  // A URL, for one: what would be written of it is what must be masked.
  if ('toJSON' in value && typeof value.toJSON === 'function') return masked(value.toJSON(), depth + 1)
  const plain = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each, depth + 1)]))
  // A line of a failure stays without a prototype.
  return Object.getPrototypeOf(value) === null ? Object.assign(Object.create(null) as object, plain) : plain
}

/**
 * A Failure as a line of a log has an error: with a `type`, its code and fields beside the message. Without a prototype,
 * since pino takes the name of the constructor for the type.
 */
export function failureLine({ name, message, stack, code, fields, cause, errors }: Failure): object {
  return Object.assign(Object.create(null) as object, {
    ...fields,
    type: name,
    message,
    ...(stack === undefined ? {} : { stack }),
    ...(code === undefined ? {} : { code }),
    ...(cause === undefined ? {} : { cause: failureLine(cause) }),
    ...(errors === undefined ? {} : { aggregateErrors: errors.map(failureLine) }),
  })
}
