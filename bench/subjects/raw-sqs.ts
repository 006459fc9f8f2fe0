import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import { sqsClient } from './sqs-place.ts'
import type { OpenSubject, Started, Subject } from './subject.ts'

/** The most messages of one call to SQS. */
export const batch = 10

/** One standard queue, with single sends and sends of ten. All calls of a bulk run at the same time. */
export function sqsQueue(
  text: string,
  space: string,
): Omit<Subject, 'work' | 'close'> & { readonly client: SQSClient; url(): Promise<string> } {
  const client = sqsClient(text)
  let asked: Promise<string> | undefined
  const url = (): Promise<string> =>
    (asked ??= client
      .send(new GetQueueUrlCommand({ QueueName: `${space}-bench` }))
      .then(({ QueueUrl }) => QueueUrl ?? ''))
  const send = async (payloads: readonly Payload[]): Promise<void> => {
    const Entries = payloads.map((payload, at) => ({ Id: `${at}`, MessageBody: JSON.stringify(payload) }))
    const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl: await url(), Entries }))
    if (Failed.length > 0) throw new Error(`SQS refused ${Failed.length} messages`)
  }
  return {
    client,
    url,
    prepare: async () => void (await client.send(new CreateQueueCommand({ QueueName: `${space}-bench` }))),
    enqueue1: async (payload) =>
      client.send(new SendMessageCommand({ QueueUrl: await url(), MessageBody: JSON.stringify(payload) })),
    enqueueBulk: (payloads) => {
      const tens = Array.from({ length: Math.ceil(payloads.length / batch) }, (_, at) =>
        payloads.slice(at * batch, (at + 1) * batch),
      )
      return Promise.all(tens.map(send))
    },
  }
}

/** The SDK alone (3.1175): as many long polls of ten as slots allow; deletes of ten go out while the next poll is open. */
export const open: OpenSubject = ({ urls, space }) => {
  const queue = sqsQueue(getUrl(urls, 'sqs'), space)
  const { client } = queue
  const closing = new AbortController()
  let loops: Promise<unknown> = Promise.resolve()
  const poll = async (started: Started): Promise<void> => {
    const QueueUrl = await queue.url()
    let deleting: Promise<unknown> = Promise.resolve()
    while (!closing.signal.aborted) {
      const receive = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: batch, WaitTimeSeconds: 20 })
      const { Messages: messages = [] } = await client.send(receive, { abortSignal: closing.signal })
      await deleting
      for (const { Body } of messages) void started(JSON.parse(Body ?? '') as Payload)
      if (messages.length === 0) continue
      const Entries = messages.map(({ ReceiptHandle }, at) => ({ Id: `${at}`, ReceiptHandle }))
      deleting = client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    }
    await deleting
  }
  return {
    ...queue,
    work: async (started, concurrency) => {
      const polls = Array.from({ length: concurrency / batch }, () => poll(started))
      loops = Promise.all(polls).catch((error: unknown) => {
        if (!closing.signal.aborted) console.error(error)
      })
    },
    close: async () => {
      closing.abort()
      await loops
      client.destroy()
    },
  }
}
