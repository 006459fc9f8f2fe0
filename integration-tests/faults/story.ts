import type { Fleet } from '../fleet/fleet.ts'
import type { FaultName } from './faults.ts'

/** How one fault is made, on every place where it can happen, and what must be true after it besides I1–I8. */
export interface Story {
  readonly fault: FaultName
  readonly run: (fleet: Fleet) => Promise<void>
}

export function story(fault: FaultName, run: (fleet: Fleet) => Promise<void>): Story {
  return { fault, run }
}
