import type { Flows } from '../ports/flows.ts'
import { calls } from './calls.ts'
import { cancelFlow, readFlow, replayFlow } from './flow-acts.ts'
import * as pages from './flow-pages.ts'
import type { EngineHost } from './job-log.ts'

/** The calls of the port that are about flows. */
export function flowCalls(host: EngineHost): Flows {
  return {
    readFlow: (id) => host.read((store) => readFlow(store, id), calls.flow(id)),
    listFlows: (filter, { limit, after }) =>
      host.read((store) => store.flows(filter, limit, after).map(pages.toRecord), {}),
    flowMembers: (flow, page) => host.read((store) => pages.flowMembers(store, flow, page), calls.flow(flow)),
    memberEnds: (flow, page) => host.read((store) => pages.memberEnds(store, flow, page), calls.flow(flow)),
    needs: (job) => host.read((store) => pages.needs(store, job), {}),
    neededBy: (id, limit) => host.read((store) => pages.neededBy(store, id, limit), {}),
    cancelFlow: (id, note) => host.write((store, now) => cancelFlow(store, now, id, note), calls.flow(id)),
    replayFlow: (id, note) => host.write((store, now) => replayFlow(store, now, id, note), calls.flow(id)),
  }
}
