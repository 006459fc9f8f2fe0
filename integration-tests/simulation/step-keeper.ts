import { isErrandError } from '@errand/core'
import { Peer } from './peer.ts'
import { note, steppedJob } from './step-parts.ts'
import type { PlannedSteps } from './step-plan.ts'
import type { Stage } from './stage.ts'

const pauseMs = 500

/** Applications that dispatch jobs with steps, and send them messages. */
export class StepKeeper {
  /** Messages that were acknowledged. */
  readonly sent: { readonly id: string; readonly job: string }[] = []
  readonly #stage: Stage
  #open = 0

  constructor(stage: Stage) {
    this.#stage = stage
    for (const plan of stage.scenario.steps) {
      this.#plan(plan.atMs, (peer) => this.#dispatch(peer, plan))
      for (const message of plan.messages)
        this.#plan(plan.atMs + message.afterMs, (peer) => this.#send(peer, plan.id, message.id))
    }
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  #plan(atMs: number, send: (peer: Peer) => Promise<void>): void {
    this.#open += 1
    this.#stage.world.at(atMs, () => this.#try(send))
  }

  #try(send: (peer: Peer) => Promise<void>): void {
    const peer = new Peer(this.#stage, 'steps')
    let isOver = false
    const over = (isAnswered: boolean): void => {
      if (isOver) return
      isOver = true
      if (isAnswered) this.#open -= 1
      else this.#stage.world.at(pauseMs, () => this.#try(send))
    }
    peer.process.onDeath(() => over(false))
    const act = async (): Promise<void> => {
      try {
        await send(peer)
        over(true)
      } catch (error) {
        const isUnanswered =
          isErrandError(error, 'E_DISPATCH_UNKNOWN') || isErrandError(error, 'E_LOG_UNREACHABLE')
        if (!isUnanswered) this.#stage.found('steps', `it was refused: ${String(error)}`)
        over(!isUnanswered)
      }
      await peer.instance.close()
      peer.process.end()
    }
    peer.process.enter(() => void act())
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
