import type { AttemptInfo, Ended, Hooks, WorkerDefinition, WorkerSource } from '@errand/core'

/** What a worker has done so far, and whether it shall go on. */
export interface Tally {
  /** Runs that have begun, counted where their number is limited. */
  started: number
  /** No more is asked for. */
  draining: boolean
  /** The queues that the handlers' jobs are for, once the definition is known. */
  queues: readonly string[]
}

export function newTally(): Tally {
  return { started: 0, draining: false, queues: [] }
}

export interface Counted {
  /** Over what the definition says. */
  readonly concurrency?: WorkerDefinition['concurrency']
  /** Ask for nothing once so many runs have begun. */
  readonly maxJobs?: number | undefined
  /** It may drain one day. */
  readonly isLimited?: boolean | undefined
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
    const { concurrency, maxJobs, ended } = options
    const hooks: Hooks = {
      before: (attempt) => {
        tally.started += 1
        return before?.(attempt)
      },
      after: (attempt) => {
        ended?.(attempt)
        return after?.(attempt)
      },
      looping: (loop) => {
        if (tally.draining || tally.started >= (maxJobs ?? Number.POSITIVE_INFINITY)) return false
        return looping?.(loop)
      },
    }
    return {
      ...worker,
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(maxJobs === undefined ? {} : { before: hooks.before }),
      ...(ended === undefined ? {} : { after: hooks.after }),
      ...(options.isLimited === true ? { looping: hooks.looping } : {}),
    }
  }
}
