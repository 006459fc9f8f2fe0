import type { Clock } from './ports/clock.ts'

/** A trouble that lasts is said again after so long. */
const againMs = 5 * 60_000
/** A fact that was over and is back is said again no sooner than this after it was last said. */
const returnedMs = 10_000
/** Facts that are remembered; far more than a system in order has. */
const mostFacts = 200

interface Said {
  readonly atMs: number
  over: boolean
}

/**
 * Whether a fact is worth a line of the log: the first time, when it is back after it was over, and after a while. What
 * ten queues of one broker meet is one fact, and its text is how it is known.
 */
export class News {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #said = new Map<string, Said>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  isNew(fact: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    const said = this.#said.get(fact)
    if (said && nowMs - said.atMs < (said.over ? returnedMs : againMs)) {
      // The next end of it is an end again.
      said.over = false
      return false
    }
    this.#said.delete(fact)
    this.#said.set(fact, { atMs: nowMs, over: false })
    const [oldest] = this.#said.keys()
    if (this.#said.size > mostFacts && oldest !== undefined) this.#said.delete(oldest)
    return true
  }

  /** All is well. */
  over(): void {
    for (const said of this.#said.values()) said.over = true
  }
}
