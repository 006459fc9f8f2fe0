import { ErrandError } from '../errors.ts'
import type { DriverFactory } from '../ports/driver.ts'
import type { DriverAddress, Transfer } from '../ports/transfer.ts'

/** What tells drivers of one place from those of another, without credentials. */
export function placeOf({ name, place }: DriverFactory): string {
  return place === undefined ? name : `${name} ${place}`
}

/** Which drivers a process serves. */
export interface Standing {
  /** Tickets are published to it. */
  readonly current: DriverAddress
  /** Tickets are taken from it as well, until it is drained. */
  readonly old: DriverAddress | undefined
}

/** What the record means to a process that is configured with the driver of this place. */
export function standingOf(configured: string, transfer: Transfer | undefined): Standing {
  const own: DriverAddress = { place: configured, url: undefined }
  if (transfer === undefined) return { current: own, old: undefined }
  const { left, from, to, phase } = transfer
  const concerned = configured === to.place || left.includes(configured)
  if (!concerned) return { current: own, old: undefined }
  const reachable = ({ place, url }: DriverAddress): boolean => place === configured || url !== undefined
  return { current: to, old: phase === 'moving' && reachable(from) ? from : undefined }
}

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
    `the driver is to be that of the environment variable ${name}, and this process does not have it; set it for every process of the fleet`,
  )
}
