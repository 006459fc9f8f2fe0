import { DeleteQueueCommand, ListQueuesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'

/** Runs something on the SQS queues of a driver's URL, past the driver. */
async function onQueues(
  url: string,
  name: string,
  act: (client: SQSClient, QueueUrl: string) => Promise<unknown>,
): Promise<void> {
  const { hostname, username, password, searchParams } = new URL(url)
  const client = new SQSClient({
    region: hostname,
    endpoint: searchParams.get('endpoint') ?? '',
    credentials: { accessKeyId: username, secretAccessKey: password },
  })
  try {
    const command = new ListQueuesCommand({ QueueNamePrefix: `${searchParams.get('prefix') ?? ''}${name}` })
    for (const queue of (await client.send(command)).QueueUrls ?? []) await act(client, queue)
  } finally {
    client.destroy()
  }
}

export function deleteSqsQueues(url: string): Promise<void> {
  return onQueues(url, '', (client, QueueUrl) => client.send(new DeleteQueueCommand({ QueueUrl })))
}

/** @param name of queue and lane: `work-normal` */
export function sendRaw(url: string, name: string, bodies: readonly string[]): Promise<void> {
  return onQueues(url, name, async (client, QueueUrl) => {
    for (const MessageBody of bodies) await client.send(new SendMessageCommand({ QueueUrl, MessageBody }))
  })
}
