/** A plain value that an error carried. */
export type FailureField = string | number | boolean | null

/**
 * The stored part of an error: enough to read it and to decide by it, and nothing that cannot be stored. Credentials in its
 * texts are masked, and long texts are cut.
 * @example retry: { when: (error) => error.code !== '23505' && error.cause?.code !== 'ENOTFOUND' }
 */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  /** The `code` of the error: `E_TIMEOUT`, `ECONNREFUSED`, `23505`. Use it to tell errors apart. */
  readonly code?: string | number | undefined
  /** Other plain values that the error held itself: `status`, `errno`, `syscall`, `constraint` … At most 20. */
  readonly fields?: Readonly<Record<string, FailureField>> | undefined
  /** Its cause, with its own cause, and so on: 8 deep. */
  readonly cause?: Failure | undefined
  /** The parts of an AggregateError, and of a SuppressedError the error and what it hid. At most 16 in all. */
  readonly errors?: readonly Failure[] | undefined
}

/** The limits of what is stored. */
export const failureLimits = {
  /** Characters of one text, and of all texts of an error with its causes and parts. */
  message: 8_192,
  stack: 16_384,
  field: 512,
  name: 200,
  all: 49_152,
  /** Of one error. */
  fields: 20,
  fieldName: 60,
  /** From the error that was thrown to its deepest cause or part. */
  depth: 8,
  /** Errors in all, the first one included. */
  errors: 16,
} as const

/** Its message; if it has none, the messages of its parts. */
export function summarize({ message, errors = [], code, name }: Failure): string {
  if (message !== '') return message
  return errors.length > 0 ? errors.map(summarize).join('; ') : String(code ?? name)
}

/** One line for people: `TypeError: fetch failed ← Error: connect ECONNREFUSED 127.0.0.1:9 [ECONNREFUSED]`. */
export function describeFailure(failure: Failure): string {
  const { name, message, code, cause, errors = [] } = failure
  const known = code === undefined || message.includes(String(code)) || name.includes(String(code))
  const head = `${name}${message === '' ? '' : `: ${message}`}${known ? '' : ` [${code}]`}`
  const parts = errors.length === 0 ? '' : ` (${errors.map(describeFailure).join('; ')})`
  return `${head}${parts}${cause === undefined ? '' : ` ← ${describeFailure(cause)}`}`
}
