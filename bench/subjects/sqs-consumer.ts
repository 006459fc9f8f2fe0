import { Consumer } from 'sqs-consumer'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { batch, sqsQueue } from './raw-sqs.ts'
import type { OpenSubject } from './subject.ts'

/*
 * sqs-consumer 15.0: batches of ten with `handleMessageBatch`, deletes by the batch, long polls of 20 s. One consumer
 * handles one batch at a time, so that 50 slots are five consumers on one client. It only consumes: jobs are sent by the SDK.
 */
export const open: OpenSubject = ({ urls, space }) => {
  const queue = sqsQueue(getUrl(urls, 'sqs'), space)
  let consumers: readonly Consumer[] = []
  return {
    ...queue,
    work: async (started, concurrency) => {
      const queueUrl = await queue.url()
      consumers = Array.from({ length: concurrency / batch }, () =>
        Consumer.create({
          queueUrl,
          sqs: queue.client,
          batchSize: batch,
          waitTimeSeconds: 20,
          handleMessageBatch: async (messages) => {
            for (const { Body } of messages) void started(JSON.parse(Body ?? '') as Payload)
            return messages
          },
        }),
      )
      for (const consumer of consumers) {
        consumer.on('error', (error) => console.error(error))
        consumer.start()
      }
    },
    close: async () => {
      for (const consumer of consumers) consumer.stop({ abort: true })
      queue.client.destroy()
    },
  }
}
