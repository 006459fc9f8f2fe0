import { noneEnded } from './define/worker.ts'
import type { Worker } from './define/worker.ts'
import type { Logger } from './logging.ts'

/**
 * A worker that can be handed out before its code has loaded, so that applications that only dispatch never load it.
 * @param start loads it and starts it.
 */
export function lazyWorker(id: string, logger: Logger, start: () => Promise<Worker>): Worker {
  let started: Worker | undefined
  const starting = start().then((worker) => (started = worker))
  const ready = starting.then((worker) => worker.ready)
  const finished = starting.then((worker) => worker.finished)
  // Both promises reject when it cannot start, and few callers await both. It is logged here, so that it is never silent.
  ready.catch((error: unknown) => logger.error({ worker: id, err: error }, 'the worker could not start'))
  finished.catch(() => undefined)

  async function stop(options?: Parameters<Worker['stop']>[0]): Promise<void> {
    // One that could not start has nothing to stop; `ready` tells why.
    const worker = await starting.catch(() => undefined)
    await worker?.stop(options)
  }

  return {
    id,
    ready,
    finished,
    health: () =>
      started?.health() ?? {
        taking: false,
        running: 0,
        prefetched: 0,
        ended: noneEnded,
        why: 'it is starting',
      },
    stop,
    [Symbol.asyncDispose]: () => stop(),
  }
}
