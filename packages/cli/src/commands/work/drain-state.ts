import type { AttemptInfo, Ended, Hooks, WorkerDefinition, WorkerSource } from '@errand/core'

/** Whether a worker has stopped asking for jobs, and what it serves. */
export interface DrainState {
  /** It asks for no more jobs. */
  draining: boolean
  /** The queues of the handlers' jobs, once the definition is known. */
  queues: readonly string[]
}

export function newDrainState(): DrainState {
  return { draining: false, queues: [] }
}

export interface ObserveOptions {
  /** Overrides the definition. */
  readonly concurrency?: WorkerDefinition['concurrency']
  /** The worker has a limit, so it may drain. */
  readonly isLimited?: boolean | undefined
  readonly ended?: ((attempt: AttemptInfo & Ended) => void) | undefined
}

/** The same worker, observed. Its own hooks run as before. What is added runs first and cannot fail. */
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
