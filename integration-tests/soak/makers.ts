import { brokerMakers } from './makers/broker.ts'
import { databaseMakers } from './makers/database.ts'
import { processMakers } from './makers/processes.ts'
import type { SoakFault } from './faults.ts'
import type { Maker } from './makers/maker.ts'

/** How each fault is made. */
export const makers: Readonly<Record<SoakFault, Maker>> = {
  ...processMakers,
  ...brokerMakers,
  ...databaseMakers,
}
