import { workerDefaults } from '../../config/defaults.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Granted } from '../run/slot.ts'

/** The weight of one run in the moving average. */
const weight = 0.1

/**
 * Jobs that were granted ahead of a slot. A worker of brief jobs would wait for the next ones as long as it runs them.
 * So it asks for as many more as will begin within `prefetchMs`. If handlers suddenly take longer, these jobs go back.
 */
export class Prefetched {
  readonly most: number
  readonly #slots: number
  readonly #clock: Clock
  readonly #isHeldUp: () => boolean
  readonly #gaveBack: (count: number) => void
  #held: Granted[] = []
  /** When the last one began, or the first one came, or the slots were held up. */
  #movedMs = 0
  #look: (() => void) | undefined
  /** Moving average of how long a job holds its slot. */
  #runMs: number = workerDefaults.prefetchMaxMs
  #closed = false

  /**
   * @param isAllowed false keeps it empty.
   * @param isHeldUp whether a slot is not free for another reason than its handler. Nothing goes back then.
   * @param gaveBack is told how many jobs go back: their room is free.
   */
  constructor(
    slots: number,
    isAllowed: boolean,
    clock: Clock,
    isHeldUp: () => boolean,
    gaveBack: (count: number) => void,
  ) {
    this.most = isAllowed ? workerDefaults.prefetchPerSlot * slots : 0
    this.#slots = slots
    this.#clock = clock
    this.#isHeldUp = isHeldUp
    this.#gaveBack = gaveBack
  }

  get count(): number {
    return this.#held.length
  }

  /** How many to hold. */
  get wanted(): number {
    const { prefetchMs } = workerDefaults
    if (this.#closed || this.#runMs > prefetchMs) return 0
    return Math.min(this.most, Math.floor((this.#slots * prefetchMs) / this.#runMs))
  }

  /** Refilled when half of it is gone, because each ask has its price. */
  get isStocked(): boolean {
    return this.count * 2 > this.wanted
  }

  /** Records how long a job held its slot. */
  ran(ms: number): void {
    this.#runMs += weight * (ms - this.#runMs)
  }

  put(job: Granted): void {
    if (this.count === 0) this.moved()
    this.#held.push(job)
    if (this.#closed) return this.#giveBack()
    this.#lookIn(workerDefaults.prefetchMaxMs)
  }

  /** The one that was granted first. */
  next(): Granted | undefined {
    this.moved()
    return this.#held.shift()
  }

  /** Restarts the time in which a slot must come free. */
  moved(): void {
    this.#movedMs = this.#clock.monotonicMs()
  }

  /** Gives back all jobs, also those that come later. */
  close(): void {
    this.#closed = true
    this.#look?.()
    this.#giveBack()
  }

  #lookIn(ms: number): void {
    this.#look ??= this.#clock.after(ms, () => this.#lookNow())
  }

  #lookNow(): void {
    this.#look = undefined
    if (this.count === 0) return
    const { prefetchMaxMs } = workerDefaults
    if (this.#isHeldUp()) return this.#lookIn(prefetchMaxMs)
    const leftMs = this.#movedMs + prefetchMaxMs - this.#clock.monotonicMs()
    if (leftMs > 0) return this.#lookIn(leftMs)
    this.#runMs = Math.max(this.#runMs, prefetchMaxMs)
    this.#giveBack()
  }

  #giveBack(): void {
    const held = this.#held.splice(0)
    for (const job of held) job.giveBack()
    this.#gaveBack(held.length)
  }
}
