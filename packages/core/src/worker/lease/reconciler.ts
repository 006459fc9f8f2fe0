import { cancelledError, claimLostError, shutdownError } from '../../errors.ts'
import { toFailure } from '../../failure/to-failure.ts'
import type { Fence } from '../../job/claim.ts'
import { releaseReasons } from '../../job/release.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Codec } from '../../ports/codec.ts'
import type { BeatReply } from '../../ports/job-log.ts'
import { encodeFailure } from '../run/result.ts'
import { toKey } from '../run/runs.ts'
import type { Runs } from '../run/runs.ts'
import type { Settler } from '../run/settler.ts'

export interface ReconcilerParts {
  readonly runs: Runs
  readonly settler: Settler
  readonly codec: Codec
  readonly clock: Clock
  readonly logger: Logger
  readonly heartbeatMs: number
  /** Requests for jobs that have no answer yet. */
  readonly openRequests: () => number
}

interface Stray {
  /** When the beat that first showed it was sent, and when its answer was read. */
  readonly sentMs: number
  readonly readMs: number
}

/** As many as requests without an answer could have been granted. */
const mostDisowned = 10_000

/**
 * Compares the runs of this process with those that the log knows, beat by beat. Aborts runs that were cancelled or
 * whose claim is lost, and gives back claims whose grant never arrived.
 */
export class Reconciler {
  readonly #parts: ReconcilerParts
  #strays = new Map<string, Stray>()
  readonly #disowned = new Set<string>()

  constructor(parts: ReconcilerParts) {
    this.#parts = parts
  }

  /** True for a claim that was given back before its grant arrived: it must not start. */
  hasDisowned(fence: Fence): boolean {
    return this.#disowned.size > 0 && this.#disowned.has(toKey(fence))
  }

  answered(reply: BeatReply, sentMs: number): void {
    const { runs } = this.#parts
    const listed = new Set<string>()
    const strays = new Map<string, Stray>()
    for (const claim of reply.claims) {
      const key = toKey(claim)
      listed.add(key)
      const run = runs.get(claim)
      if (!run) {
        // Its outcome is known and offered to the log, so it must not run again before its deadline.
        if (this.#parts.settler.hasAside(claim)) continue
        const stray = this.#strays.get(key) ?? { sentMs, readMs: this.#parts.clock.monotonicMs() }
        strays.set(key, stray)
        if (this.#isLost(stray, sentMs)) this.#giveBack(claim)
      } else if (claim.cancel) {
        const { by, reason } = claim.cancel
        run.abort(
          cancelledError(reason === undefined ? `cancelled by ${by}` : `cancelled by ${by}: ${reason}`),
        )
      }
    }
    this.#strays = strays
    for (const run of runs) {
      // A run that was granted after the beat had been sent cannot be in its answer.
      if (run.ended || run.grantedMs >= sentMs || listed.has(run.key)) continue
      run.abort(claimLostError(`run ${run.claim.run} of job ${run.claim.id} is no longer this worker's`))
    }
  }

  /**
   * True if two beats, an interval apart, have shown it, and no open request could have brought it. The main thread
   * must have had an interval too: after it was blocked, it reads several answers at once, before the grant that waits
   * in a socket.
   */
  #isLost({ sentMs: firstMs, readMs }: Stray, sentMs: number): boolean {
    const { clock, heartbeatMs, openRequests } = this.#parts
    const apart = sentMs - firstMs >= heartbeatMs && clock.monotonicMs() - readMs >= heartbeatMs / 2
    return apart && openRequests() === 0
  }

  #giveBack({ id, run }: Fence): void {
    const { settler, codec, logger } = this.#parts
    const key = toKey({ id, run })
    if (this.#disowned.has(key)) return
    const oldest = this.#disowned.values().next()
    if (this.#disowned.size >= mostDisowned && oldest.value !== undefined) this.#disowned.delete(oldest.value)
    this.#disowned.add(key)
    logger.warn(
      { job: id, run, why: 'unheard' },
      'the log holds a claim for this worker that never arrived here; it is given back',
    )
    const why = 'unheard'
    void encodeFailure(codec, toFailure(shutdownError(releaseReasons[why])), id)
      .then((error) =>
        settler.settle({ id, run, durationMs: 0, outcome: { kind: 'release', begun: false, why, error } }),
      )
      .catch((error: unknown) => {
        logger.error({ job: id, err: error }, 'a stray claim could not be given back')
      })
  }
}
