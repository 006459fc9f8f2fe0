import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ErrandError } from '../../errors.ts'
import { longestStepResult } from '../../job/memory.ts'
import { toJson } from '../../json.ts'
import type { Encoded } from '../../ports/codec.ts'
import { describeIssues, parseWith } from '../../schema.ts'

/** @throws `E_STEP_RESULT` if JSON cannot carry it. */
export function toStepJson(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined
  const json = toJson(value, `the result of step '${name}'`)
  if ('text' in json) return json.text
  throw new ErrandError(
    'E_STEP_RESULT',
    `${json.path} ${json.problem}; JSON cannot carry it, so a later run could not get it: return text, numbers, or plain objects`,
  )
}

/**
 * What the handler gets of a result, in the run that made it and in later ones.
 * @throws `E_STEP_RESULT` if it does not fit.
 */
export async function parseStepJson(
  name: string,
  returns: StandardSchemaV1 | undefined,
  json: string | undefined,
): Promise<unknown> {
  const value: unknown = json === undefined ? undefined : JSON.parse(json)
  if (!returns) return value
  const parsed = await parseWith(returns, value)
  if (!parsed.issues) return parsed.value
  throw new ErrandError(
    'E_STEP_RESULT',
    `the result of step '${name}' does not fit its schema: ${describeIssues(parsed.issues)}; mend the schema and replay the job, which goes on where it was`,
  )
}

/** @throws `E_STEP_TOO_LARGE` */
export function checkStepSize(name: string, result: Encoded): void {
  if (result.text.length <= longestStepResult) return
  throw new ErrandError(
    'E_STEP_TOO_LARGE',
    `the result of step '${name}' takes ${result.text.length} characters; the limit is ${longestStepResult} (store it elsewhere in the step, and return a reference)`,
  )
}
