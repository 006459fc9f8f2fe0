import type { Clock } from '../../ports/clock.ts'
import type { Run, Runs } from './runs.ts'

/** What stops jobs from being asked for: each reason for itself. */
export interface Pauses {
  shut(reason: string, why: string): void
  clear(reason: string): void
}

/** A job that was lost so often is suspected of killing its process. */
export const aloneFromCrashes = 2
const longestWaitMs = 30_000

/**
 * Lets a suspect run alone, so that it cannot take its neighbours along: the worker asks for nothing more, the others
 * end, and nothing starts beside it.
 */
export class ExclusiveRun {
  readonly #pauses: Pauses
  readonly #runs: Runs
  readonly #clock: Clock
  readonly #waiting = new Set<Run>()
  #alone: Run | undefined

  constructor(pauses: Pauses, runs: Runs, clock: Clock) {
    this.#pauses = pauses
    this.#runs = runs
    this.#clock = clock
  }

  /**
   * Resolves with true when nothing else runs or can start, until `leave`; with false when the others did not end in
   * time, or the signal aborted: then the run is to be given back.
   */
  async enter(run: Run, withinMs: number, signal: AbortSignal): Promise<boolean> {
    this.#waiting.add(run)
    this.#pauses.shut('alone', 'a job that was lost repeatedly runs alone; it starts when no other job runs')
    const late = new AbortController()
    const cancel = this.#clock.after(Math.min(withinMs, longestWaitMs), () => late.abort())
    const ended = AbortSignal.any([signal, late.signal])
    // Several may be woken at once; only the first of them finds the place free.
    while (!ended.aborted && !this.#isFree()) await this.#runs.until(() => this.#isFree(), ended)
    cancel()
    this.#waiting.delete(run)
    if (ended.aborted) {
      this.#goOn()
      return false
    }
    this.#alone = run
    return true
  }

  leave(run: Run): void {
    if (this.#alone === run) this.#alone = undefined
    this.#goOn()
  }

  /** Nothing runs, and nothing is asked for, but by those that wait for the same. */
  #isFree(): boolean {
    return this.#alone === undefined && this.#runs.asks === 0 && this.#runs.count === this.#waiting.size
  }

  #goOn(): void {
    if (!this.#alone && this.#waiting.size === 0) this.#pauses.clear('alone')
  }
}
