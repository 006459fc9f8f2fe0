import type { Progress, BeatReply, BeatReport } from '../../ports/job-log.ts'
import type { Clock } from '../../ports/clock.ts'
import { isErrandError } from '../../errors.ts'
import { backoffMs } from '../../supervise.ts'
import { waitFor } from '../../wait.ts'

/** What the next beat says, without progress. */
export type WorkerStatus = Omit<BeatReport, 'progress'>

/** A beat that was answered. */
interface AnsweredBeat {
  /** When it was sent, in milliseconds of the clock given. */
  readonly sentMs: number
  /** Until when the lease holds now, by the same clock. */
  readonly leaseUntilMs: number
  /** The log has been told of all progress up to this number. */
  readonly toldUpTo: number
}

export interface BeaterOptions {
  readonly beat: (report: BeatReport) => Promise<BeatReply>
  readonly intervalMs: number
  readonly leaseMs: number
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>
  readonly status: WorkerStatus
  readonly answered: (reply: BeatReply, beat: AnsweredBeat) => void
  readonly failed: (error: unknown) => void
}

/**
 * The loop of beats: one every interval, one at once when asked, and one after a short backoff if a beat failed. It
 * runs on the heartbeat thread, or on the main thread for a log that only this process can reach.
 */
export class Beater {
  readonly #options: BeaterOptions
  readonly #progress = new Map<string, Progress>()
  /** The number of the newest report, and the highest number that the log knows. */
  #newest = 0
  #toldUpTo = 0
  /**
   * How many of them go with the next beat. A report that the log refuses must cost neither the lease nor the others.
   */
  #most = Number.POSITIVE_INFINITY
  /** The next beat carries no progress, because a beat with progress was refused. */
  #bare = false
  #status: WorkerStatus
  #wake: (() => void) | undefined
  /** A beat is wanted at once. */
  #isAsked = false

  constructor(options: BeaterOptions) {
    this.#options = options
    this.#status = options.status
  }

  set status(status: WorkerStatus) {
    this.#status = status
  }

  /** The newest progress of each run goes with the next beat. */
  progress(progress: Progress, number: number): void {
    this.#newest = number
    this.#progress.set(`${progress.id}:${progress.run}`, progress)
  }

  beatNow(): void {
    this.#isAsked = true
    this.#wake?.()
  }

  async run(stop: AbortSignal): Promise<void> {
    const { intervalMs, clock } = this.#options
    let failures = 0
    while (!stop.aborted) {
      this.#isAsked = false
      failures = (await this.#beat()) ? 0 : failures + 1
      // This beat did not answer a request that came while it was under way.
      if (this.#isAsked) continue
      const waitMs = failures === 0 ? intervalMs : backoffMs(failures, Math.min(100, intervalMs), intervalMs)
      await waitFor<void>(stop, undefined, (wake) => {
        this.#wake = wake
        return clock.after(waitMs, wake)
      })
    }
  }

  async #beat(): Promise<boolean> {
    const { beat, clock, leaseMs, answered, failed } = this.#options
    const progress = this.#bare ? [] : [...this.#progress].slice(0, this.#most)
    const upTo = progress.length === this.#progress.size ? this.#newest : this.#toldUpTo
    const sentMs = clock.monotonicMs()
    try {
      const reply = await beat({ ...this.#status, progress: progress.map(([, each]) => each) })
      this.#forget(progress)
      this.#toldUpTo = upTo
      if (!this.#bare) this.#most = Number.POSITIVE_INFINITY
      // Reports that were held back because of a refused one go at once.
      if (this.#bare || (progress.length > 0 && this.#progress.size > 0)) this.beatNow()
      this.#bare = false
      // Counted from the sending: the log may have read its clock at any moment since then.
      answered(reply, { sentMs, leaseUntilMs: sentMs + leaseMs, toldUpTo: upTo })
      return true
    } catch (error) {
      failed(error)
      if (isErrandError(error, 'E_LOG') && progress.length > 0) this.#narrow(progress)
      return false
    }
  }

  /**
   * Sends half of them with the next beat. If a single one is refused, none: the newest report of its run may be
   * another.
   */
  #narrow(progress: readonly (readonly [string, Progress])[]): void {
    this.#bare = true
    if (progress.length > 1) this.#most = Math.ceil(progress.length / 2)
    else this.#forget(progress)
  }

  #forget(progress: readonly (readonly [string, Progress])[]): void {
    for (const [key, each] of progress) if (this.#progress.get(key) === each) this.#progress.delete(key)
  }
}
