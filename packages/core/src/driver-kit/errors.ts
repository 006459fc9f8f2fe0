import { ErrandError, isErrandError, toError } from '../errors.ts'

/** One kind of error of a broker: how to recognize it, and what to do. */
export interface ErrorKind {
  /** Matched against the names of the error: by default its `name` and its `code`, with a space between. */
  readonly named?: RegExp | undefined
  /** Matched against its message. If both are given, both must match. */
  readonly says?: RegExp | undefined
  /** Tells people what to do. */
  readonly advice: string
  /** The same call may succeed a moment later. Default false. */
  readonly passing?: boolean | undefined
  /** Every queue meets this error, so it is logged once for all of them. Default false. */
  readonly common?: boolean | undefined
  /** Trying again does not help until a person has changed something. Default false. */
  readonly final?: boolean | undefined
}

export interface ErrorTable<Kind extends string> {
  /** The first kind that matches the error, or the cause of an `ErrandError`. */
  readonly classify: (error: unknown) => Kind | undefined
  readonly isPassing: (error: unknown) => boolean
  readonly isCommon: (error: unknown) => boolean
  readonly isFinal: (error: unknown) => boolean
  /** What to do about it; undefined for an error of no kind. */
  readonly advise: (error: unknown) => string | undefined
}

/**
 * Says in one table what a broker's errors mean. The first kind that matches counts.
 * @param readNames what `named` is matched against.
 * @example
 * const errors = defineErrors({
 *   busy: { named: /Throttl/, advice: 'it is tried again more slowly', passing: true, common: true },
 *   denied: { named: /AccessDenied/, advice: 'allow it in the policy', final: true },
 * })
 * errors.isPassing(error)
 */
export function defineErrors<Kind extends string>(
  kinds: Readonly<Record<Kind, ErrorKind>>,
  readNames: (error: unknown) => string = nameAndCode,
): ErrorTable<Kind> {
  const all = Object.entries<ErrorKind>(kinds)
  function find(error: unknown): readonly [string, ErrorKind] | undefined {
    if (isErrandError(error)) return error.cause === undefined ? undefined : find(error.cause)
    const [names, message] = [readNames(error), readMessage(error)]
    return all.find(([, { named, says }]) => named?.test(names) !== false && says?.test(message) !== false)
  }
  return {
    classify: (error) => find(error)?.[0] as Kind | undefined,
    isPassing: (error) => find(error)?.[1].passing === true,
    isCommon: (error) => find(error)?.[1].common === true,
    isFinal: (error) => find(error)?.[1].final === true,
    advise: (error) => find(error)?.[1].advice,
  }
}

/** Any value may have been thrown: `Object(null)` is an object as well. */
function nameAndCode(error: unknown): string {
  const { name, code } = Object(error) as { readonly name?: unknown; readonly code?: unknown }
  return `${String(name)} ${String(code)}`
}

/** The message of an error, or the text of any other value that was thrown. */
export function readMessage(error: unknown): string {
  return toError(error).message
}

/** An `E_DRIVER`. Core compares messages to log a fact once: if the reason is the same for all queues, so must be the message. */
export function driverError(message: string, cause?: unknown): ErrandError {
  return new ErrandError('E_DRIVER', message, { cause })
}
