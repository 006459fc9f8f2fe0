import { PgBoss } from 'pg-boss'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import type { OpenSubject } from './subject.ts'

/*
 * pg-boss 12.38, batch fetch: 500 jobs per fetch and per completion, fetched again without delay while batches come full
 * (`burstWhenBatchFull`). That is more prefetched jobs than the 50 slots of the others: to its favour. LISTEN and NOTIFY,
 * which its page on workers recommends for latency, are on where latency is measured, and off where they would only slow
 * the inserts down. A partition of its own would leave other queues alone; there are none.
 */
const batchSize = 500
const queue = 'bench'

export const open: OpenSubject = ({ urls, space, phase }) => {
  const notify = phase === 'latency'
  const boss = new PgBoss({
    connectionString: getUrl(urls, 'postgres'),
    schema: space,
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
    work: async (begin) => {
      await started()
      await boss.work<Payload>(
        queue,
        { batchSize, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
        async (jobs) => {
          for (const job of jobs) begin(job.data)
        },
      )
    },
    close: async () => {
      if (starting) await boss.stop({ graceful: true, timeout: 5_000 })
    },
  }
}
