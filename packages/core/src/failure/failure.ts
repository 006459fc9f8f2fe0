/** A plain value that an error carried. */
export type FailureField = string | number | boolean | null

/**
 * What is kept of an error: enough to read and to decide by, nothing that cannot be stored. Credentials in its texts are
 * masked, long texts are cut.
 * @example retry: { when: (error) => error.code !== '23505' && error.cause?.code !== 'ENOTFOUND' }
 */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  /** `E_TIMEOUT`, `ECONNREFUSED`, `23505`: whatever the error had as its `code`. Tell errors apart by it. */
  readonly code?: string | number | undefined
  /** Other plain values that the error held itself: `status`, `errno`, `syscall`, `constraint` … At most 20. */
  readonly fields?: Readonly<Record<string, FailureField>> | undefined
  /** What it was caused by, and so on: 8 deep. */
  readonly cause?: Failure | undefined
  /** The parts of an AggregateError, and of a SuppressedError the error and what it hid. At most 16 in all. */
  readonly errors?: readonly Failure[] | undefined
}

/** What is kept at most. */
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

/** Its message; where it has none, those of its parts. */
export function summaryOf({ message, errors = [], code, name }: Failure): string {
  if (message !== '') return message
  return errors.length > 0 ? errors.map(summaryOf).join('; ') : String(code ?? name)
}

/** One line for people: `TypeError: fetch failed ← Error: connect ECONNREFUSED 127.0.0.1:9 [ECONNREFUSED]`. */
export function reasonOf(failure: Failure): string {
  const { name, message, code, cause, errors = [] } = failure
  const known = code === undefined || message.includes(String(code)) || name.includes(String(code))
  const head = `${name}${message === '' ? '' : `: ${message}`}${known ? '' : ` [${code}]`}`
  const parts = errors.length === 0 ? '' : ` (${errors.map(reasonOf).join('; ')})`
  return `${head}${parts}${cause === undefined ? '' : ` ← ${reasonOf(cause)}`}`
}
