import type { AttemptInfo, Ended, Hooks, WorkerDefinition, WorkerSource } from '@errand/core'

/** Whether a worker takes on no more, and what it serves. */
export interface DrainState {
  /** No more is asked for. */
  draining: boolean
  /** The queues that the handlers' jobs are for, once the definition is known. */
  queues: readonly string[]
}

export function newDrainState(): DrainState {
  return { draining: false, queues: [] }
}

export interface ObserveOptions {
  /** Over what the definition says. */
  readonly concurrency?: WorkerDefinition['concurrency']
  /** It may drain one day. */
  readonly isLimited?: boolean | undefined
  readonly ended?: ((attempt: AttemptInfo & Ended) => void) | undefined
}

/** The same worker, observed. Its own hooks run as before: what is added here is done first and cannot fail. */
export function observeWorker(
  source: WorkerSource,
  drain: DrainState,
  options: ObserveOptions,
): () => Promise<WorkerDefinition> {
  return async () => {
    const worker = typeof source === 'function' ? await source() : source
    drain.queues = [...new Set(worker.handlers.map((handler) => handler.job.queue))]
    const { after, looping } = worker
    const { concurrency, ended } = options
    const hooks: Hooks = {
      after: (attempt) => {
        ended?.(attempt)
        return after?.(attempt)
      },
      looping: (loop) => {
        return drain.draining ? false : looping?.(loop)
      },
    }
    return {
      ...worker,
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(ended === undefined ? {} : { after: hooks.after }),
      ...(options.isLimited === true ? { looping: hooks.looping } : {}),
    }
  }
}
