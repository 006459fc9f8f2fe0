import type { Flows } from '@errand/core/ports'
import type { Database } from './database.ts'

/** Flows, and what jobs need. */
export function flows(_database: Database): Flows {
  const later = async (): Promise<never> => {
    throw new RangeError('not built yet')
  }
  return {
    readFlow: later,
    listFlows: later,
    flowMembers: later,
    memberEnds: later,
    needs: later,
    neededBy: later,
    cancelFlow: later,
    replayFlow: later,
  }
}
