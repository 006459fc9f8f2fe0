import { isErrandError } from '@errand/core'
import type { Dispatching } from './dispatching.ts'
import type { PlannedAfter, PlannedFlow } from './flow-plan.ts'
import { tx } from './jobs.ts'
import { Peer } from './peer.ts'
import type { Stage } from './stage.ts'

const pauseMs = 500

/** Applications that dispatch flows, and jobs that wait for others. Each plan is repeated until it has an answer. */
export class FlowKeeper {
  /** Flows whose dispatch was answered. */
  readonly answered: string[] = []
  readonly #stage: Stage
  readonly #apps: Dispatching
  #open = 0

  constructor(stage: Stage, apps: Dispatching) {
    this.#stage = stage
    this.#apps = apps
    const { flows = [], afters = [] } = stage.scenario.flows ?? {}
    for (const plan of flows) this.#plan(plan, (peer) => this.#dispatch(peer, plan))
    for (const plan of afters) this.#plan(plan, (peer) => this.#dispatchAfter(peer, plan))
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  #plan({ atMs }: { readonly atMs: number }, send: (peer: Peer) => Promise<void>): void {
    this.#open += 1
    this.#stage.world.at(atMs, () => this.#try(send))
  }

  /** In a new process each time: the one before may have died. */
  #try(send: (peer: Peer) => Promise<void>): void {
    const peer = new Peer(this.#stage, 'flows')
    let isOver = false
    const over = (isAnswered: boolean): void => {
      if (isOver) return
      isOver = true
      if (isAnswered) this.#open -= 1
      else this.#stage.world.at(pauseMs, () => this.#try(send))
    }
    peer.process.onDeath(() => over(false))
    peer.process.enter(
      () =>
        void send(peer)
          .then(
            () => over(true),
            (error: unknown) => {
              if (isErrandError(error, 'E_DISPATCH_UNKNOWN') || isErrandError(error, 'E_LOG_UNREACHABLE'))
                return over(false)
              this.#stage.found('flow', `its dispatch was refused: ${String(error)}`)
              return over(true)
            },
          )
          .then(() => peer.instance.close())
          .then(() => peer.process.end()),
    )
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
