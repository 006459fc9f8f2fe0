import type { Clock } from '../ports/clock.ts'
import type { Gate } from './gate.ts'
import type { Run, Runs } from './runs.ts'

/** A job that was lost so often is suspected of killing its process. */
export const aloneFromCrashes = 2
const longestWaitMs = 30_000

/**
 * Lets a suspect run alone, so that it cannot take its neighbours along: the worker asks for nothing more, the others
 * end, and nothing starts beside it.
 */
export class Solitude {
  readonly #gate: Gate
  readonly #runs: Runs
  readonly #clock: Clock
  readonly #asking: () => number
  readonly #waiting = new Set<Run>()
  #alone: Run | undefined

  /** @param asking how many requests are under way that may yet be answered with jobs. */
  constructor(gate: Gate, runs: Runs, clock: Clock, asking: () => number) {
    this.#gate = gate
    this.#runs = runs
    this.#clock = clock
    this.#asking = asking
  }

  /**
   * Resolves with true when nothing else runs or can start, until `leave`; with false when the others did not end in
   * time, or the signal aborted: then the run is to be given back.
   */
  async enter(run: Run, withinMs: number, signal: AbortSignal): Promise<boolean> {
    this.#waiting.add(run)
    this.#gate.shut('alone', 'a job that was lost repeatedly runs alone, or waits for that')
    const late = new AbortController()
    const cancel = this.#clock.after(Math.min(withinMs, longestWaitMs), () => late.abort())
    const ended = AbortSignal.any([signal, late.signal])
    await this.#runs.until(() => this.#mayStart(), ended)
    cancel()
    this.#waiting.delete(run)
    if (ended.aborted || !this.#mayStart(run)) {
      this.#openGate()
      return false
    }
    this.#alone = run
    return true
  }

  leave(run: Run): void {
    if (this.#alone === run) this.#alone = undefined
    this.#openGate()
  }

  /** Nothing runs but those that wait for the same. */
  #mayStart(besides?: Run): boolean {
    const waiting = this.#waiting.size + (besides ? 1 : 0)
    return this.#alone === undefined && this.#asking() === 0 && this.#runs.count === waiting
  }

  #openGate(): void {
    if (!this.#alone && this.#waiting.size === 0) this.#gate.clear('alone')
  }
}
