import { ErrandError } from './errors.ts'
import type { ErrorCode } from './errors.ts'
import { describe } from './options.ts'

const long = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/,
  told: '1 to 128 letters, digits and . _ : / -',
}
const short = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  told: '1 to 64 letters, digits and . _ -',
}

/** Letters, digits and `. _ : / -`, at most 128, beginning with a letter or digit. @throws `E_NAME` */
export function checkJobName(name: unknown): string {
  return check('job', name, long)
}

/** As names of jobs. @throws `E_NAME` */
export function checkLimitName(name: unknown): string {
  return check('limit', name, long)
}

/** As names of jobs. @throws `E_NAME` */
export function checkScheduleName(name: unknown): string {
  return check('schedule', name, long)
}

/** Letters, digits and `. _ -`, at most 64, beginning with a letter or digit: what every broker can carry. @throws `E_NAME` */
export function checkQueueName(name: unknown): string {
  return check('queue', name, short)
}

/** As names of jobs. @throws `E_NAME` */
export function checkMessageName(name: unknown): string {
  return check('message', name, long)
}

/** As names of jobs. @throws `E_STEP_NAME` */
export function checkStepName(name: unknown): string {
  return check('step', name, long, 'E_STEP_NAME')
}

function check(
  what: string,
  name: unknown,
  { pattern, told }: typeof long,
  code: ErrorCode = 'E_NAME',
): string {
  if (typeof name === 'string' && pattern.test(name)) return name
  throw new ErrandError(
    code,
    `${describe(name)} is not a name for a ${what}; use ${told} that begin with a letter or digit`,
  )
}
