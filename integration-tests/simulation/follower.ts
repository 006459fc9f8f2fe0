import { isErrandError } from '@errand/core'
import { Peer } from './peer.ts'
import type { SimulatedProcess } from './process.ts'
import type { Stage } from './stage.ts'

const pauseMs = 1_000

/**
 * A follower of the log's events that stores each event together with its cursor. Whatever happens to its process or to the
 * log, it must see every event once, in order.
 */
export class Follower {
  readonly #stage: Stage
  readonly #seen: string[] = []
  #peer: Peer | undefined

  constructor(stage: Stage) {
    this.#stage = stage
    if (stage.scenario.followed) this.#start()
  }

  /** The process that follows now. */
  get process(): SimulatedProcess | undefined {
    return this.#peer?.process
  }

  hasSeen(events: number): boolean {
    return !this.#stage.scenario.followed || this.#seen.length >= events
  }

  check(cursors: readonly string[]): void {
    if (!this.#stage.scenario.followed) return
    const wrong = this.#seen.findIndex((cursor, index) => cursor !== cursors[index])
    const what = `event ${wrong} of ${cursors.length} was ${this.#seen[wrong]}, not ${cursors[wrong]}`
    if (wrong !== -1) this.#stage.found('follow', what)
    else if (this.#seen.length < cursors.length) {
      this.#stage.found('follow', `it has seen ${this.#seen.length} of ${cursors.length} events`)
    }
  }

  #start(): void {
    const { world } = this.#stage
    const peer = new Peer(this.#stage, 'follower')
    this.#peer = peer
    peer.process.onDeath(() => world.at(pauseMs, () => this.#start()))
    peer.process.enter(() => void this.#follow(peer))
  }

  async #follow({ errand, process }: Peer): Promise<void> {
    for (;;) {
      try {
        const after = this.#seen.at(-1) ?? 'start'
        for await (const event of errand.events.follow({ after })) {
          if (process.reaches('follows')) this.#seen.push(event.cursor)
        }
      } catch (error) {
        if (!isErrandError(error, 'E_LOG_UNREACHABLE')) this.#stage.found('follow', String(error))
      }
      await process.clock.sleep(pauseMs)
    }
  }
}
