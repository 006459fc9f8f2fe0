import type { AttemptInfo, Ended, WorkerDefinition, WorkerSource } from '@errand/core'

/** What a worker has done so far, and whether it shall go on. */
export interface Tally {
  /** Runs that have begun. */
  started: number
  readonly ended: Record<Ended['outcome'], number>
  /** No more is asked for. */
  draining: boolean
  /** The queues that the handlers' jobs are for, once the definition is known. */
  queues: readonly string[]
}

export function newTally(): Tally {
  const ended = { succeeded: 0, errored: 0, failed: 0, snoozed: 0, released: 0, cancelled: 0, fenced: 0 }
  return { started: 0, ended, draining: false, queues: [] }
}

export interface Counted {
  /** Over what the definition says. */
  readonly concurrency?: WorkerDefinition['concurrency']
  /** Ask for nothing once so many runs have begun. */
  readonly maxJobs?: number | undefined
  readonly ended?: ((attempt: AttemptInfo & Ended) => void) | undefined
}

/** The same worker, counted. Its own hooks run as before: what is added here is done first and cannot fail. */
export function counted(
  source: WorkerSource,
  tally: Tally,
  options: Counted,
): () => Promise<WorkerDefinition> {
  return async () => {
    const worker = typeof source === 'function' ? await source() : source
    tally.queues = [...new Set(worker.handlers.map((handler) => handler.job.queue))]
    const { before, after, looping } = worker
    return {
      ...worker,
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
      before: (attempt) => {
        tally.started += 1
        return before?.(attempt)
      },
      after: (attempt) => {
        tally.ended[attempt.outcome] += 1
        options.ended?.(attempt)
        return after?.(attempt)
      },
      looping: (loop) => {
        if (tally.draining || tally.started >= (options.maxJobs ?? Number.POSITIVE_INFINITY)) return false
        return looping?.(loop)
      },
    }
  }
}
