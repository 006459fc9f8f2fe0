import { PgBoss } from 'pg-boss'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { poolSize } from './connections.ts'
import type { OpenSubject } from './subject.ts'

/*
 * pg-boss 12.38, batch fetch: 500 jobs per fetch and per completion, fetched again without delay while batches come full
 * (`burstWhenBatchFull`), by two loops (`localConcurrency`), so that one fetches while the other completes. That is more
 * prefetched jobs than the 50 slots of the others, which favours it. If handlers take time, both loops together have as many
 * jobs as there are slots. LISTEN and NOTIFY,
 * which its page on workers recommends for latency, are on if latency is measured, and off if they would only slow
 * the inserts down. The pool has as many connections as it can use (`connections.ts`), instead of 10. A partition of its own would leave other queues alone; there are none.
 */
const batchSize = 500
const loops = 2
const queue = 'bench'

export const open: OpenSubject = ({ urls, space, phase, processes, work: { handlerMs } }) => {
  const notify = phase === 'latency'
  const boss = new PgBoss({
    connectionString: getUrl(urls, 'postgres'),
    schema: space,
    max: poolSize(processes),
    useListenNotify: notify,
    schedule: false,
  })
  boss.on('error', (error) => console.error(error))
  let starting: Promise<unknown> | undefined
  const started = (): Promise<unknown> => (starting ??= boss.start())
  return {
    prepare: async () => {
      await started()
      await boss.createQueue(queue, { notify })
    },
    enqueue1: async (payload) => {
      await started()
      return boss.send(queue, payload)
    },
    enqueueBulk: async (payloads) => {
      await started()
      return boss.insert(
        queue,
        payloads.map((data) => ({ data })),
      )
    },
    work: async (begin, concurrency) => {
      await started()
      const size = handlerMs === 0 ? batchSize : concurrency / loops
      await boss.work<Payload>(
        queue,
        { batchSize: size, localConcurrency: loops, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
        async (jobs) => {
          if (handlerMs > 0) await Promise.all(jobs.map(async (job) => begin(job.data)))
          else for (const job of jobs) void begin(job.data)
        },
      )
    },
    close: async () => {
      if (starting) await boss.stop({ graceful: true, timeout: 5_000 })
    },
  }
}
