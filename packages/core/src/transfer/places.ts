import type { DriverFactory } from '../ports/driver.ts'
import type { DriverAddress, Transfer } from '../ports/transfer.ts'

/** Tells drivers of one place from those of another, without credentials. */
export function describePlace({ name, place }: DriverFactory): string {
  return place === undefined ? name : `${name} ${place}`
}

/** Which drivers a process serves. */
export interface DriversInUse {
  /** Tickets are published to it. */
  readonly current: DriverAddress
  /** Tickets are taken from it as well, until it is drained. */
  readonly old: DriverAddress | undefined
}

/** What the record means for a process that is configured with the driver of this place. */
export function driversInUse(configured: string, transfer: Transfer | undefined): DriversInUse {
  const own: DriverAddress = { place: configured, url: undefined }
  if (transfer === undefined) return { current: own, old: undefined }
  const { left, from, to, phase } = transfer
  const concerned = configured === to.place || left.includes(configured)
  if (!concerned) return { current: own, old: undefined }
  const reachable = ({ place, url }: DriverAddress): boolean => place === configured || url !== undefined
  return { current: to, old: phase === 'moving' && reachable(from) ? from : undefined }
}
