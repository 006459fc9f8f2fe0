import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ErrandError } from '../../errors.ts'
import type { Failure } from '../../failure/failure.ts'
import { asError } from '../../ports/codec.ts'
import type { Codec, Encoded } from '../../ports/codec.ts'
import { findEmptied, toJson } from '../../json.ts'
import { describeIssues, parseWith } from '../../schema.ts'

/**
 * Checks what a handler returned against the job's `returns`. Without `returns`, nothing is kept.
 * @throws `E_RESULT_INVALID` if it does not fit, JSON cannot carry it, or it is too large.
 */
export async function checkResult(
  name: string,
  returns: StandardSchemaV1 | undefined,
  value: unknown,
  limitBytes: number,
): Promise<{ readonly value: unknown; readonly json: string | undefined }> {
  if (!returns) return { value: undefined, json: undefined }
  const parsed = await parseWith(returns, value)
  if (parsed.issues) {
    throw invalid(`the result of ${name} does not fit its schema: ${describeIssues(parsed.issues)}`)
  }
  const json = toResultJson(name, value, parsed.value)
  const size = json === undefined ? 0 : Buffer.byteLength(json)
  if (size > limitBytes) {
    throw invalid(
      `the result of ${name} is ${size} bytes; the limit is ${limitBytes} (store it elsewhere and return a reference)`,
    )
  }
  return { value: parsed.value, json }
}

function toResultJson(name: string, given: unknown, value: unknown): string | undefined {
  if (value === undefined) return undefined
  const json = toJson(value, 'result')
  const flaw = 'text' in json ? findEmptied(given, value, 'result') : json
  if (flaw) throw invalid(`${flaw.path} of ${name} ${flaw.problem}; JSON cannot carry it`)
  return 'text' in json ? json.text : undefined
}

function invalid(message: string): ErrandError {
  return new ErrandError('E_RESULT_INVALID', message)
}

export async function encodeFailure(codec: Codec, failure: Failure, job: string): Promise<Encoded> {
  return codec.encode(JSON.stringify(failure), asError(job))
}
