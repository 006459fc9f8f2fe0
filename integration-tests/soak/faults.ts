import { faultNames, notAt } from '../faults/faults.ts'
import type { FaultName } from '../faults/faults.ts'
import { findPlace } from '../fleet/place.ts'

/** What happens to the fleet, by the names of the catalogue of faults, and a few that only a long life has. */
export const soakFaults = [
  'worker killed',
  'frozen past its lease',
  'event loop blocked',
  'SIGTERM',
  'rolling restart',
  'dispatcher killed',
  'connections closed',
  'connections torn',
  'broker restarted',
  'broker killed',
  'broker wiped',
  'memory alarm',
  'queue purged',
  'queue deleted',
  'confirm lost',
  'SQS delete fails',
  'SQS throttled',
  'database backends killed',
  'database connections torn',
  'database replies lost',
  'database down',
  'database locked',
  'database slow',
] as const
export type SoakFault = (typeof soakFaults)[number]

/** Faults that are not in the catalogue happen in the same places as the fault that is like them. */
const like: Partial<Readonly<Record<SoakFault, FaultName>>> = {
  'database replies lost': 'database connections torn',
}

export function canHappen(fault: SoakFault, place: string): boolean {
  const name = like[fault] ?? faultNames.find((each) => each === fault)
  return name === undefined || notAt(name, findPlace(place)) === undefined
}
