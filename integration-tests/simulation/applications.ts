import { isErrandError } from '@errand/core'
import { Peer } from './peer.ts'
import type { Stage } from './stage.ts'

const pauseMs = 500

/** Applications that do something with Errand: each in a new process, again and again until the log has answered. */
export class Applications {
  readonly #stage: Stage
  readonly #name: string
  #open = 0

  /** @param name of the processes, and of the invariant that a refusal breaks */
  constructor(stage: Stage, name: string) {
    this.#stage = stage
    this.#name = name
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  plan(atMs: number, send: (peer: Peer) => Promise<void>): void {
    this.#open += 1
    this.#stage.world.at(atMs, () => this.#try(send))
  }

  #try(send: (peer: Peer) => Promise<void>): void {
    const peer = new Peer(this.#stage, this.#name)
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
        if (!isUnanswered) this.#stage.found(this.#name, `it was refused: ${String(error)}`)
        over(!isUnanswered)
      }
      await peer.instance.close()
      peer.process.end()
    }
    peer.process.enter(() => void act())
  }
}
