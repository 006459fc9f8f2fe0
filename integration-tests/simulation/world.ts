import { Chance } from './chance.ts'
import { inTurns } from './globals.ts'
import type { SimulatedProcess } from './process.ts'

interface Moment {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** This many steps mean an endless loop. */
const mostSteps = 400_000

/**
 * The true time, and what happens when. Everything in a simulation runs in a step of the world: one callback, and every
 * promise that follows from it, before time goes on.
 */
export class World {
  readonly chance: Chance
  /** Lines of the run, if they are asked for. */
  readonly trace: string[] | undefined
  readonly startMs: number = Date.UTC(2026, 0, 1)
  /** The process whose step runs now. */
  current: SimulatedProcess | undefined
  steps = 0
  #nowMs = this.startMs
  #order = 0
  #hash = 0x811c9dc5
  readonly #heap: Moment[] = []

  constructor(seed: number, traced: boolean) {
    this.chance = new Chance(seed)
    this.trace = traced ? [] : undefined
  }

  /** Ms since the epoch, with fractions. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** A hash of everything that was noted, with its time: two runs with the same hash were the same. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** Notes for the trace what has happened. */
  note(who: string, what: string, more?: () => string): void {
    this.#mix(Math.round((this.#nowMs - this.startMs) * 1_000))
    for (let index = 0; index < what.length; index += 1) this.#mix(what.charCodeAt(index))
    for (let index = 0; index < who.length; index += 1) this.#mix(who.charCodeAt(index))
    if (!this.trace) return
    const at = ((this.#nowMs - this.startMs) / 1_000).toFixed(4).padStart(10)
    const detail = more?.()
    this.trace.push(`${at} ${who.padEnd(12)} ${what}${detail === undefined ? '' : ` ${detail}`}`)
  }

  /** Runs it after `delayMs`. The returned function cancels it. */
  at(delayMs: number, run: () => void): () => void {
    const moment: Moment = { at: this.#nowMs + delayMs, order: (this.#order += 1), run }
    this.#push(moment)
    return () => {
      moment.run = undefined
    }
  }

  /** Moves the time without running anything: timers that were due in it run late. */
  skip(ms: number): void {
    this.#nowMs += ms
  }

  /** Goes on until the condition holds; false if it did not within this many milliseconds. */
  until(done: () => boolean, withinMs: number): Promise<boolean> {
    const endMs = this.#nowMs + withinMs
    return inTurns(() => {
      if (done()) return true
      const next = this.#heap[0]
      if (!next || next.at > endMs) return false
      this.#pop()
      if (!next.run) return undefined
      if (next.at > this.#nowMs) this.#nowMs = next.at
      this.steps += 1
      if (this.steps > mostSteps) throw new Error(`${mostSteps} steps, and no end`)
      this.current = undefined
      next.run()
      return undefined
    })
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193)
  }

  #push(moment: Moment): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(moment)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(moment, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = moment
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (!last || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}

function isBefore(a: Moment, b: Moment): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
