import { Applications } from './applications.ts'
import type { Dispatching } from './dispatching.ts'
import type { PlannedAfter, PlannedFlow } from './flow-plan.ts'
import { tx } from './jobs.ts'
import type { Peer } from './peer.ts'
import type { Stage } from './stage.ts'

/** Applications that dispatch flows, and jobs that wait for others. Each plan is repeated until it has an answer. */
export class FlowKeeper {
  /** Flows whose dispatch was answered. */
  readonly answered: string[] = []
  readonly #applications: Applications
  readonly #apps: Dispatching

  constructor(stage: Stage, apps: Dispatching) {
    this.#applications = new Applications(stage, 'flow')
    this.#apps = apps
    const { flows = [], afters = [] } = stage.scenario.flows ?? {}
    for (const plan of flows) this.#applications.plan(plan.atMs, (peer) => this.#dispatch(peer, plan))
    for (const plan of afters) this.#applications.plan(plan.atMs, (peer) => this.#dispatchAfter(peer, plan))
  }

  get isDone(): boolean {
    return this.#applications.isDone
  }

  async #dispatch({ errand }: Peer, { id, request, inTransaction }: PlannedFlow): Promise<void> {
    const options = { id, onDuplicate: 'skip', ...(inTransaction ? { tx } : {}) } as const
    const receipt = await errand.dispatch(request, options)
    if (inTransaction) errand.wake()
    this.answered.push(receipt.id)
  }

  async #dispatchAfter({ errand }: Peer, plan: PlannedAfter): Promise<void> {
    const known = [...this.#apps.answered.map(({ id }) => id), ...this.answered]
    const on = known[Math.floor(known.length * plan.which)]
    const options = { id: plan.id, ...(on === undefined ? {} : { after: [on] }) }
    await errand.dispatch(plan.job, plan.payload, { ...options, ...(plan.inTransaction ? { tx } : {}) })
    if (plan.inTransaction) errand.wake()
  }
}
