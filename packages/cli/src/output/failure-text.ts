import { describeFailure } from '@errand/core'
import type { Failure } from '@errand/core'

/** An error with its stack, its plain fields, its causes and its parts. Each level is indented further. */
export function failureText(failure: Failure): string {
  return toLines(failure).join('\n')
}

function toLines(failure: Failure): readonly string[] {
  const { stack, code, fields = {}, cause, errors = [] } = failure
  const told = Object.entries({ ...(code === undefined ? {} : { code }), ...fields })
  return [
    // A stack begins with the name and the message.
    ...(stack ?? describeFailure({ ...failure, code: undefined, cause: undefined, errors: undefined })).split(
      '\n',
    ),
    ...(told.length === 0 ? [] : [`  ${told.map(([name, value]) => `${name}=${String(value)}`).join(' ')}`]),
    ...(cause === undefined ? [] : below('caused by', cause)),
    ...errors.flatMap((each, index) => below(`part ${index + 1} of ${errors.length}`, each)),
  ]
}

function below(title: string, failure: Failure): readonly string[] {
  const [first = '', ...rest] = toLines(failure)
  return [`  ${title}: ${first}`, ...rest.map((line) => `  ${line}`)]
}
