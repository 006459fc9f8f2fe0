import type { Flows } from '../ports/flows.ts'
import type { EngineHost } from './job-log.ts'

/** The calls of the port that are about flows. */
export function flowCalls(_host: EngineHost): Flows {
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
