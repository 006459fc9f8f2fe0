import type { Clock } from '../../ports/clock.ts'
import type { Run, Runs } from './runs.ts'

/** Stops asking for jobs, for each reason separately. */
export interface Pauses {
  shut(reason: string, why: string): void
  clear(reason: string): void
}

/** A job that was lost this often is suspected of killing its process. */
export const aloneFromCrashes = 2
const longestWaitMs = 30_000

/**
 * Lets a suspect job run alone, so that its crash costs no other job. The worker asks for nothing more, the other jobs
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
   * Resolves with true when nothing else runs or can start, until `leave`. Resolves with false if the others did not
   * end in time, or the signal aborted: then give the run back.
   */
  async enter(run: Run, withinMs: number, signal: AbortSignal): Promise<boolean> {
    this.#waiting.add(run)
    this.#pauses.shut('alone', 'a job that was lost repeatedly runs alone; it starts when no other job runs')
    const late = new AbortController()
    const cancel = this.#clock.after(Math.min(withinMs, longestWaitMs), () => late.abort())
    const ended = AbortSignal.any([signal, late.signal])
    // Several may wake at once. Only the first finds the place free.
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

  /** Nothing runs or is asked for, except by runs that wait for the same. */
  #isFree(): boolean {
    return this.#alone === undefined && this.#runs.asks === 0 && this.#runs.count === this.#waiting.size
  }

  #goOn(): void {
    if (!this.#alone && this.#waiting.size === 0) this.#pauses.clear('alone')
  }
}
