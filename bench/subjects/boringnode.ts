import { Job, Locator, QueueManager, Worker } from '@boringnode/queue'
import type { AdapterFactory, QueueManagerConfig } from '@boringnode/queue/types'
import type { Payload } from '../measure/payload.ts'
import type { Started, Subject } from './subject.ts'

const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error: console.error, child: () => quiet }

/*
 * @boringnode/queue 0.6: finished jobs removed (its default), and an idle worker that looks again after 10 ms instead of
 * 2 s. It has no wake-ups, so its latency depends only on this. It gets a quiet logger, because by default it
 * writes to the console.
 */
export function boringnode(adapter: AdapterFactory, more: Pick<Subject, 'prepare' | 'close'>): Subject {
  let begin: Started = () => {}
  class Noop extends Job<Payload> {
    static override options = { name: 'noop', queue: 'bench' }
    override async execute(): Promise<void> {
      await begin(this.payload)
    }
  }
  const config = (concurrency: number): QueueManagerConfig => ({
    default: 'only',
    adapters: { only: adapter },
    worker: { concurrency, idleDelay: 10, gracefulShutdown: false },
    logger: quiet,
  })
  let ready: Promise<unknown> | undefined
  const init = (concurrency = 1): Promise<unknown> => {
    Locator.register('noop', Noop)
    return (ready ??= QueueManager.init(config(concurrency)))
  }
  let worker: Worker | undefined
  return {
    prepare: more.prepare,
    enqueue1: async (payload) => {
      await init()
      return Noop.dispatch(payload)
    },
    enqueueBulk: async (payloads) => {
      await init()
      return Noop.dispatchMany([...payloads])
    },
    work: async (started, concurrency) => {
      begin = started
      await init(concurrency)
      worker = new Worker(config(concurrency))
      // Resolves when the worker has stopped.
      worker.start(['bench']).catch((error: unknown) => console.error(error))
    },
    close: async () => {
      await worker?.stop()
      if (ready) await QueueManager.destroy()
      await more.close()
    },
  }
}
