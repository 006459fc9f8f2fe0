import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import type { OpenSubject } from './subject.ts'

/*
 * BullMQ 6.7 with ioredis 5: finished jobs removed at once, which spares it the completed set (its guide, "Auto-removal of
 * jobs"); a connection per queue and per worker, and maxRetriesPerRequest null, as its guide to connections asks for.
 */
const connect = (url: string): Redis => new Redis(url, { maxRetriesPerRequest: null })

export const open: OpenSubject = ({ urls, space }) => {
  const url = getUrl(urls, 'redis')
  const connection = connect(url)
  const queue = new Queue<Payload>('bench', {
    connection,
    prefix: space,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  })
  let worker: Worker<Payload> | undefined
  let workers: Redis | undefined
  return {
    prepare: () => queue.waitUntilReady(),
    enqueue1: (payload) => queue.add('noop', payload),
    enqueueBulk: (payloads) => queue.addBulk(payloads.map((data) => ({ name: 'noop', data }))),
    work: async (started, concurrency) => {
      workers = connect(url)
      worker = new Worker<Payload>('bench', async (job) => started(job.data), {
        connection: workers,
        prefix: space,
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
      workers?.disconnect()
      connection.disconnect()
    },
  }
}
