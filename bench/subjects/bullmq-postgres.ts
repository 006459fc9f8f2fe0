import { createPostgresBackend, withBackend } from 'bullmq'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { poolSize } from './connections.ts'
import type { OpenSubject } from './subject.ts'

const { Queue, Worker } = withBackend(createPostgresBackend)

/*
 * BullMQ 6.7's own PostgreSQL backend (its guide, "PostgreSQL backend"): the same settings as on Redis, and "enough
 * pool connections for its concurrency", as its tuning tips ask for, besides the one that listens.
 */
export const open: OpenSubject = ({ urls, space, processes }) => {
  const connection = {
    connectionString: getUrl(urls, 'postgres'),
    schema: space,
    migrate: true,
    max: poolSize(processes),
  }
  const queue = new Queue<Payload>('bench', {
    connection,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  })
  let worker: InstanceType<typeof Worker<Payload>> | undefined
  return {
    prepare: () => queue.waitUntilReady(),
    enqueue1: (payload) => queue.add('noop', payload),
    enqueueBulk: (payloads) => queue.addBulk(payloads.map((data) => ({ name: 'noop', data }))),
    work: async (started, concurrency) => {
      worker = new Worker<Payload>('bench', async (job) => started(job.data), {
        connection,
        concurrency,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      })
      worker.on('error', (error) => console.error(error))
      await worker.waitUntilReady()
    },
    close: async () => {
      await worker?.close()
      await queue.close()
    },
  }
}
