import './quiet-graphile-worker.ts'
import { makeWorkerUtils, run, runMigrations } from 'graphile-worker'
import type { Runner, WorkerUtils } from 'graphile-worker'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { poolSize } from './connections.ts'
import type { OpenSubject } from './subject.ts'

/*
 * graphile-worker 0.18. With `localQueue` as in the configuration of its page on performance: a queue of 500, completions
 * batched without delay, a pool of one connection per slot and one more (less for a fleet, and for many slots: the server's
 * limit). Its line of log for each job is off (`quiet-graphile-worker.ts`).
 */
const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }

export const plain: OpenSubject = (place) => open(place, {})
export const withLocalQueue: OpenSubject = (place) => open(place, batching)

function open(
  { urls, space, processes }: Parameters<OpenSubject>[0],
  batching: object,
): ReturnType<OpenSubject> {
  const preset = (concurrency: number) => ({
    worker: {
      connectionString: getUrl(urls, 'postgres'),
      schema: space,
      concurrentJobs: concurrency,
      maxPoolSize: poolSize(processes, concurrency + 1),
      ...batching,
    },
  })
  let making: Promise<WorkerUtils> | undefined
  const utils = (): Promise<WorkerUtils> => (making ??= makeWorkerUtils({ preset: preset(50) }))
  let runner: Runner | undefined
  return {
    prepare: () => runMigrations({ preset: preset(10) }),
    enqueue1: async (payload) => (await utils()).addJob('noop', payload),
    enqueueBulk: async (payloads) =>
      (await utils()).addJobs(payloads.map((payload) => ({ identifier: 'noop', payload }))),
    work: async (started, concurrency) => {
      runner = await run({
        preset: preset(concurrency),
        noHandleSignals: true,
        taskList: { noop: async (payload) => started(payload as Payload) },
      })
    },
    close: async () => {
      await runner?.stop()
      await (await making)?.release()
    },
  }
}
