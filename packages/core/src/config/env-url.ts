import { ErrandError } from '../errors.ts'

const variable = /^env:([A-Za-z_][A-Za-z0-9_]*)$/

/**
 * The URL itself, or the value of the environment variable that it names: `env:ERRAND_DRIVER_NEXT`.
 * @throws `E_CONFIG` when this process does not have the variable.
 */
export function urlIn(url: string, env: NodeJS.ProcessEnv): string {
  const name = variable.exec(url)?.[1]
  if (name === undefined) return url
  const value = env[name]
  if (value) return value
  throw new ErrandError(
    'E_CONFIG',
    `the driver comes from the environment variable ${name}, and this process does not have it; set it for every process of the fleet`,
  )
}
