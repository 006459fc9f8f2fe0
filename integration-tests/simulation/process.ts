import type { Clock } from '@errand/core/ports'
import type { World } from './world.ts'

/**
 * A process of the simulation. It can be killed at any await, and frozen. Everything from outside (a timer, an answer, a
 * delivery) enters it only here, so that nothing happens in a dead process, and everything happens late in a frozen one.
 */
export class SimulatedProcess {
  readonly name: string
  readonly clock: Clock
  /** Tickets on which the log has told this process its decision. */
  readonly decided: WeakSet<object> = new WeakSet()
  /** It is killed when it reaches the await with this number. */
  diesAt: number | undefined
  /** How far its wall clock is off. */
  skewMs = 0
  readonly #world: World
  /** Its start by its monotonic clock, which stops while the machine sleeps. */
  #startMs: number
  #awaits = 0
  #isDead = false
  #isAsleep = false
  #frozenMs = 0
  #held: (() => void)[] | undefined
  readonly #onDeath: (() => void)[] = []

  constructor(world: World, name: string) {
    this.name = name
    this.#world = world
    this.#startMs = world.nowMs
    this.clock = this.#clock()
  }

  get isDead(): boolean {
    return this.#isDead
  }

  get isFrozen(): boolean {
    return this.#held !== undefined
  }

  onDeath(run: () => void): void {
    this.#onDeath.push(run)
  }

  /** Something comes from outside. */
  enter(run: () => void): void {
    if (this.#isDead) return
    if (this.#held) {
      this.#held.push(run)
      return
    }
    this.#world.current = this
    run()
  }

  /** Its code is at an await; false if it will never go on. */
  reaches(what: string, more?: () => string): boolean {
    if (this.#isDead) return false
    this.#awaits += 1
    this.#world.note(this.name, what, more)
    if (this.diesAt !== undefined && this.#awaits >= this.diesAt) this.kill()
    return !this.#isDead
  }

  /** Ends it like `kill -9`. */
  kill(): void {
    if (this.#isDead) return
    this.#world.note(this.name, 'IS KILLED')
    this.#end()
  }

  /** Marks it as ended in order. */
  end(): void {
    if (!this.#isDead) this.#end()
  }

  /** Its machine has slept, so it does not know how long it was away. */
  hasSlept = false

  /** Like `kill -STOP`, and `-CONT` after `ms`; with `asleep` like a laptop with a closed lid. */
  freeze(ms: number, asleep: boolean): void {
    if (this.#isDead || this.#held) return
    this.#world.note(this.name, asleep ? 'SLEEPS' : 'IS FROZEN', () => `for ${Math.round(ms)} ms`)
    this.#held = []
    this.#frozenMs = this.#world.nowMs
    this.#isAsleep = asleep
    this.#world.at(ms, () => this.thaw())
  }

  thaw(): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    if (this.#isDead) return
    if (this.#isAsleep) {
      this.hasSlept = true
      this.#startMs += this.#world.nowMs - this.#frozenMs
    }
    this.#world.note(this.name, 'GOES ON')
    for (const run of held) this.#world.at(0, () => this.enter(run))
  }

  #end(): void {
    this.#isDead = true
    this.#held = undefined
    for (const run of this.#onDeath) run()
  }

  #clock(): Clock {
    const world = this.#world
    const after: Clock['after'] = (delayMs, callback) => {
      let isOff = false
      // As in Node, no timer is shorter than a millisecond.
      const callOff = world.at(Math.max(1, delayMs), () => this.enter(() => void (isOff || callback())))
      return () => {
        isOff = true
        callOff()
      }
    }
    return {
      now: () => Math.floor(world.nowMs + this.skewMs),
      monotonicMs: () => world.nowMs - this.#startMs,
      after,
      sleep: (delayMs, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve()
          const finish = (): void => {
            cancel()
            signal?.removeEventListener('abort', finish)
            resolve()
          }
          const cancel = after(delayMs, finish)
          signal?.addEventListener('abort', finish)
        }),
    }
  }
}
