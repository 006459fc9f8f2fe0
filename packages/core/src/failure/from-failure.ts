import { failureLimits } from './failure.ts'
import type { Failure, FailureField } from './failure.ts'
import { toFailure } from './to-failure.ts'

/**
 * Reads a stored Failure. If something else is stored in its place, that becomes its message. Older code stored only a
 * name, a message and a stack.
 */
export function storedFailure(stored: unknown, depth = 0): Failure {
  if (!isObject(stored) || !('message' in stored)) return toFailure(stored)
  const { name, message, stack, code, fields, cause, errors } = stored
  const goesOn = depth < failureLimits.depth
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: String(message),
    ...(typeof stack === 'string' ? { stack } : {}),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(isObject(fields) ? { fields: pickPlainFields(fields) } : {}),
    ...(goesOn && isObject(cause) ? { cause: storedFailure(cause, depth + 1) } : {}),
    ...(goesOn && Array.isArray(errors)
      ? { errors: errors.slice(0, failureLimits.errors + 1).map((each) => storedFailure(each, depth + 1)) }
      : {}),
  }
}

/** Makes the error again from what was stored: its name and stack, its code and fields, its causes and parts. */
export function errorFrom(failure: Failure): Error {
  const { name, message, stack, code, fields = {}, cause, errors } = failure
  const options = cause === undefined ? undefined : { cause: errorFrom(cause) }
  const error =
    errors === undefined
      ? new Error(message, options)
      : new AggregateError(errors.map(errorFrom), message, options)
  const own = { ...fields, ...(code === undefined ? {} : { code }) }
  // Defined, not assigned: a field may have the name of a setter.
  for (const [key, value] of Object.entries(own)) define(error, key, value, true)
  define(error, 'name', name, false)
  define(error, 'stack', stack, false)
  return error
}

function define(error: Error, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true })
}

function pickPlainFields(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, FailureField>> {
  const isPlain = (value: unknown): boolean =>
    value === null || ['string', 'number', 'boolean'].includes(typeof value)
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => isPlain(value))) as Record<
    string,
    FailureField
  >
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
