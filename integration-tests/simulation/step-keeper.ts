import { isErrandError } from '@errand/core'
import { Applications } from './applications.ts'
import type { Peer } from './peer.ts'
import { note, steppedJob } from './step-parts.ts'
import type { PlannedSteps } from './step-plan.ts'
import type { Stage } from './stage.ts'

/** Applications that dispatch jobs with steps, and send them messages. */
export class StepKeeper {
  /** Messages that were acknowledged. */
  readonly sent: { readonly id: string; readonly job: string }[] = []
  readonly #applications: Applications

  constructor(stage: Stage) {
    this.#applications = new Applications(stage, 'steps')
    for (const plan of stage.scenario.steps) {
      this.#applications.plan(plan.atMs, (peer) => this.#dispatch(peer, plan))
      for (const message of plan.messages)
        this.#applications.plan(plan.atMs + message.afterMs, (peer) => this.#send(peer, plan.id, message.id))
    }
  }

  get isDone(): boolean {
    return this.#applications.isDone
  }

  async #dispatch({ errand }: Peer, { id, payload }: PlannedSteps): Promise<void> {
    await errand.dispatch(steppedJob, payload, { id })
  }

  async #send({ errand }: Peer, job: string, id: string): Promise<void> {
    try {
      await errand.jobs.send(job, note, { id }, { id })
      this.sent.push({ id, job })
    } catch (error) {
      // The job has ended, or is not dispatched yet.
      if (!isErrandError(error, 'E_MESSAGE')) throw error
    }
  }
}
