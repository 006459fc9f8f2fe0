import { DeleteQueueCommand, ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'

export interface SqsPlace {
  readonly region: string
  readonly endpoint: string | undefined
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
}

/** `sqs://key:secret@REGION?endpoint=…`, as the driver reads it, for subjects that use only the SDK. */
export function sqsPlace(text: string): SqsPlace {
  const url = new URL(text)
  return {
    region: url.hostname || 'eu-west-1',
    endpoint: url.searchParams.get('endpoint') ?? undefined,
    credentials:
      url.username === ''
        ? undefined
        : {
            accessKeyId: decodeURIComponent(url.username),
            secretAccessKey: decodeURIComponent(url.password),
          },
  }
}

/** As many as dispatches in flight; by default the SDK has 50 sockets, and the others would wait (its guide, "maxSockets"). */
const sockets = { maxSockets: 100 }

export function sqsClient(text: string): SQSClient {
  const { region, endpoint, credentials } = sqsPlace(text)
  return new SQSClient({
    region,
    requestHandler: { httpAgent: sockets, httpsAgent: sockets },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  })
}

/** The queues of a space, no matter who made them. */
export async function deleteQueues(text: string, space: string): Promise<void> {
  const client = sqsClient(text)
  const { QueueUrls: found = [] } = await client.send(new ListQueuesCommand({ QueueNamePrefix: `${space}-` }))
  for (const QueueUrl of found) await client.send(new DeleteQueueCommand({ QueueUrl }))
  client.destroy()
}
