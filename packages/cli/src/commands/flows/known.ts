import type { Errand, FlowInfo } from '@errand/core'
import { ErrandError } from '@errand/core/ports'

/** @throws `E_NOT_FOUND`, `E_ID` */
export async function knownFlow(errand: Errand, id: string): Promise<FlowInfo> {
  const flow = await errand.flows.get(id)
  if (flow) return flow
  const isJob = (await errand.jobs.get(id)) !== undefined
  throw new ErrandError(
    'E_NOT_FOUND',
    isJob
      ? `${id} is a job and no flow; errand jobs show ${id}`
      : `there is no flow ${id} in this log; flows that have ended are pruned after their retention`,
  )
}
