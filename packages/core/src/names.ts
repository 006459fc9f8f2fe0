import { ErrandError } from './errors.ts'
import { describe } from './options.ts'

const jobName = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/
const queueName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Letters, digits and `. _ : / -`, at most 128, beginning with a letter or digit. @throws `E_NAME` */
export function checkJobName(name: unknown): string {
  if (typeof name === 'string' && jobName.test(name)) return name
  throw new ErrandError(
    'E_NAME',
    `${describe(name)} is not a name for a job; use 1 to 128 letters, digits and . _ : / - that begin with a letter or digit`,
  )
}

/** As names of jobs. @throws `E_NAME` */
export function checkLimitName(name: unknown): string {
  if (typeof name === 'string' && jobName.test(name)) return name
  throw new ErrandError(
    'E_NAME',
    `${describe(name)} is not a name for a limit; use 1 to 128 letters, digits and . _ : / - that begin with a letter or digit`,
  )
}

/** As names of jobs. @throws `E_NAME` */
export function checkScheduleName(name: unknown): string {
  if (typeof name === 'string' && jobName.test(name)) return name
  throw new ErrandError(
    'E_NAME',
    `${describe(name)} is not a name for a schedule; use 1 to 128 letters, digits and . _ : / - that begin with a letter or digit`,
  )
}

/** Letters, digits and `. _ -`, at most 64, beginning with a letter or digit: what every broker can carry. @throws `E_NAME` */
export function checkQueueName(name: unknown): string {
  if (typeof name === 'string' && queueName.test(name)) return name
  throw new ErrandError(
    'E_NAME',
    `${describe(name)} is not a name for a queue; use 1 to 64 letters, digits and . _ - that begin with a letter or digit`,
  )
}
