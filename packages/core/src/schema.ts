import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ErrandError } from './errors.ts'
import { describe } from './options.ts'

export type Parsed =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaV1.Issue[] }

/** Validates with any Standard Schema. A promise only where the schema is asynchronous. */
export function parseSyncWith(schema: StandardSchemaV1, value: unknown): Parsed | Promise<Parsed> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then(toParsed) : toParsed(result)
}

/** Validates with any Standard Schema, synchronous or not. It rejects where the schema itself throws. */
export async function parseWith(schema: StandardSchemaV1, value: unknown): Promise<Parsed> {
  return parseSyncWith(schema, value)
}

function toParsed(result: StandardSchemaV1.Result<unknown>): Parsed {
  return result.issues ? { issues: result.issues } : { value: result.value }
}

/** @throws `E_OPTION` unless it is a Standard Schema (zod 3.24+, valibot, arktype, …). */
export function checkSchema(what: string, schema: unknown): asserts schema is StandardSchemaV1 {
  const standard: unknown =
    (typeof schema === 'object' || typeof schema === 'function') && schema !== null && '~standard' in schema
      ? schema['~standard']
      : undefined
  const validates =
    typeof standard === 'object' &&
    standard !== null &&
    'validate' in standard &&
    typeof standard.validate === 'function'
  if (!validates) {
    throw new ErrandError(
      'E_OPTION',
      `${what} is ${describe(schema)}; it must be a Standard Schema (zod, valibot, arktype, …)`,
    )
  }
}

/** The issues as one line: `file: expected string; width: too small`. The schema's messages, at most five; never the values. */
export function describeIssues(issues: readonly StandardSchemaV1.Issue[]): string {
  const shown = issues.slice(0, 5).map((issue) => {
    const path = (issue.path ?? [])
      .map((part) => String(typeof part === 'object' ? part.key : part))
      .join('.')
    return path ? `${path}: ${issue.message}` : issue.message
  })
  const more = issues.length - shown.length
  return shown.join('; ') + (more > 0 ? `; and ${more} more` : '')
}
