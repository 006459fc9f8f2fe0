import type { Clock } from '../../ports/clock.ts'
import { waitFor } from '../../wait.ts'

/** A source of room for runs: the allowance, or what it has lent to an ask. */
export interface Budget {
  /** Takes up to `count`; returns how many. */
  take(count: number): number
}

/** Runs that are kept for one ask until it is done. */
export interface Loan extends Budget {
  readonly max: number
  /** What was not taken goes back. */
  done(): void
}

interface Lent {
  left: number
  readonly since: number
  /** Undefined once it has been told. */
  giveWay: (() => void) | undefined
}

interface Waiting {
  readonly max: number
  readonly giveWay: () => void
  readonly resolve: (loan: Loan | undefined) => void
}

/** How long an ask may keep its loan without an answer while another one waits for it. */
const turnMs = 500

/**
 * The runs that a worker may still begin: `maxJobs`. Each ask for jobs borrows some of them. So the asks of all queues
 * together are never granted more than are left. Jobs that were granted and did not begin give theirs back.
 */
export class Allowance implements Budget {
  readonly #max: number
  readonly #clock: Clock
  readonly #changed: (isSpent: boolean) => void
  readonly #lent = new Set<Lent>()
  #left: number
  #begun = 0
  #waiting: Waiting[] = []
  #timer: (() => void) | undefined

  /** @param changed is called when all have begun, and again if one of them goes back unbegun. */
  constructor(max: number, clock: Clock, changed: (isSpent: boolean) => void) {
    this.#max = max
    this.#left = max
    this.#clock = clock
    this.#changed = changed
  }

  /** All have begun. */
  get isSpent(): boolean {
    return this.#begun >= this.#max
  }

  take(count: number): number {
    const taken = Math.min(count, this.#left)
    this.#left -= taken
    return taken
  }

  /** For jobs that did not come, or went back unbegun. */
  giveBack(count: number): void {
    this.#left += count
    this.#deal()
  }

  begin(): void {
    this.#begun += 1
    if (this.isSpent) this.#changed(true)
  }

  /** For a job that had its slot and went back unbegun. */
  takeBack(): void {
    const wasSpent = this.isSpent
    this.#begun -= 1
    this.giveBack(1)
    if (wasSpent) this.#changed(false)
  }

  /** Waits for its turn. Undefined when the signal aborts first. @param giveWay ends the ask: another one waits. */
  lend(max: number, signal: AbortSignal, giveWay: () => void): Promise<Loan | undefined> {
    return waitFor<Loan | undefined>(signal, undefined, (resolve) => {
      const waiting: Waiting = { max, giveWay, resolve }
      this.#waiting.push(waiting)
      this.#deal()
      return () => (this.#waiting = this.#waiting.filter((each) => each !== waiting))
    })
  }

  #deal(): void {
    for (let next; this.#left > 0 && (next = this.#waiting.shift());) next.resolve(this.#open(next))
    this.#timer?.()
    this.#timer = undefined
    const oldest = [...this.#lent].find((lent) => lent.giveWay)
    if (this.#waiting.length === 0 || !oldest) return
    const waitMs = oldest.since + turnMs - this.#clock.monotonicMs()
    if (waitMs > 0) {
      this.#timer = this.#clock.after(waitMs, () => this.#deal())
      return
    }
    const { giveWay } = oldest
    oldest.giveWay = undefined
    giveWay?.()
  }

  #open({ max: wanted, giveWay }: Waiting): Loan {
    const max = this.take(wanted)
    const lent: Lent = { left: max, since: this.#clock.monotonicMs(), giveWay }
    this.#lent.add(lent)
    return {
      max,
      take: (count) => {
        const taken = Math.min(count, lent.left)
        lent.left -= taken
        return taken
      },
      done: () => {
        if (!this.#lent.delete(lent)) return
        this.giveBack(lent.left)
        lent.left = 0
      },
    }
  }
}
