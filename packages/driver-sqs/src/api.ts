import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import type { BatchResultErrorEntry, Message } from '@aws-sdk/client-sqs'
import type { Settings } from './options.ts'

/** The largest batch that SQS takes, and the most tickets that one receive brings. */
export const batchSize = 10

/** What SQS says of one entry of a batch. */
export type Fate =
  | { readonly done: true }
  | { readonly done: false; readonly code: string; readonly message: string; readonly again: boolean }

export interface ReceiveOptions {
  readonly max: number
  readonly waitSeconds: number
  readonly signal: AbortSignal
}

/** A request that is not answered within so long has failed, with all repetitions of the SDK; a long poll has its wait besides. */
const deadlineMs = 10_000
/** Four long polls for each queue that is taken from, and room for sends and deletes; the SDK's own limit is 50. */
const mostSockets = 512

/** The nine calls of SQS that are used here, each with a deadline; how often they are repeated is the SDK's business. */
export class Api {
  readonly #client: SQSClient
  readonly #own: boolean
  readonly #visibilitySeconds: number

  constructor({ client, region, endpoint, credentials, visibilitySeconds }: Settings) {
    this.#own = client === undefined
    this.#visibilitySeconds = visibilitySeconds
    this.#client =
      client ??
      new SQSClient({
        ...(region === undefined ? {} : { region }),
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(credentials === undefined ? {} : { credentials }),
        requestHandler: {
          connectionTimeout: 5_000,
          httpAgent: { maxSockets: mostSockets },
          httpsAgent: { maxSockets: mostSockets },
        },
      })
  }

  async urlOf(name: string): Promise<string> {
    const command = new GetQueueUrlCommand({ QueueName: name })
    const { QueueUrl } = await within(deadlineMs, (signal) =>
      this.#client.send(command, { abortSignal: signal }),
    )
    return known(QueueUrl)
  }

  async create(name: string, tags: Readonly<Record<string, string>>): Promise<string> {
    const command = new CreateQueueCommand({ QueueName: name, tags })
    const { QueueUrl } = await within(deadlineMs, (signal) =>
      this.#client.send(command, { abortSignal: signal }),
    )
    return known(QueueUrl)
  }

  async receive(url: string, { max, waitSeconds, signal }: ReceiveOptions): Promise<readonly Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: this.#visibilitySeconds,
    })
    const { Messages } = await within(
      waitSeconds * 1_000 + deadlineMs,
      (abortSignal) => this.#client.send(command, { abortSignal }),
      signal,
    )
    return Messages ?? []
  }

  async send(url: string, bodies: readonly string[]): Promise<readonly Fate[]> {
    const Entries = bodies.map((MessageBody, index) => ({ Id: `${index}`, MessageBody }))
    const command = new SendMessageBatchCommand({ QueueUrl: url, Entries })
    return fates(
      bodies,
      await within(deadlineMs, (signal) => this.#client.send(command, { abortSignal: signal })),
    )
  }

  async delete(url: string, handles: readonly string[]): Promise<readonly Fate[]> {
    const Entries = handles.map((ReceiptHandle, index) => ({ Id: `${index}`, ReceiptHandle }))
    const command = new DeleteMessageBatchCommand({ QueueUrl: url, Entries })
    return fates(
      handles,
      await within(deadlineMs, (signal) => this.#client.send(command, { abortSignal: signal })),
    )
  }

  /** Makes the tickets visible to others at once. */
  async handBack(url: string, handles: readonly string[]): Promise<readonly Fate[]> {
    const Entries = handles.map((ReceiptHandle, index) => ({
      Id: `${index}`,
      ReceiptHandle,
      VisibilityTimeout: 0,
    }))
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries })
    return fates(
      handles,
      await within(deadlineMs, (signal) => this.#client.send(command, { abortSignal: signal })),
    )
  }

  /** Messages that wait, those that are not due yet included; those that a worker holds not. An estimate. */
  async depth(url: string): Promise<number> {
    const command = new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesDelayed'],
    })
    const { Attributes } = await within(deadlineMs, (signal) =>
      this.#client.send(command, { abortSignal: signal }),
    )
    return (
      Number(Attributes?.ApproximateNumberOfMessages ?? 0) +
      Number(Attributes?.ApproximateNumberOfMessagesDelayed ?? 0)
    )
  }

  async purge(url: string): Promise<void> {
    const command = new PurgeQueueCommand({ QueueUrl: url })
    await within(deadlineMs, (signal) => this.#client.send(command, { abortSignal: signal }))
  }

  close(): void {
    if (this.#own) this.#client.destroy()
  }
}

function known(url: string | undefined): string {
  if (url === undefined) throw new Error('SQS answered without the URL of the queue')
  return url
}

/** In the order of the entries. An entry that SQS does not mention may have been carried out: it is asked again. */
function fates(
  entries: readonly string[],
  answer: {
    readonly Successful?: readonly { readonly Id?: string | undefined }[] | undefined
    readonly Failed?: readonly BatchResultErrorEntry[] | undefined
  },
): readonly Fate[] {
  const done = new Set(answer.Successful?.map(({ Id }) => Id))
  const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
  return entries.map((_, index) => {
    if (done.has(`${index}`)) return { done: true }
    const entry = failed.get(`${index}`)
    const code = entry?.Code ?? 'Unanswered'
    const again = entry?.SenderFault !== true || /throttl/i.test(code)
    return { done: false, code, message: entry?.Message ?? '', again }
  })
}

/** The call with a deadline in real time, whatever clock the rest of the process has: SQS has its own. */
async function within<T>(
  ms: number,
  call: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  const controller = new AbortController()
  const late = Object.assign(new Error(`no answer within ${ms / 1_000} s`), { name: 'TimeoutError' })
  const timer = setTimeout(() => controller.abort(late), ms)
  const abort = (): void => controller.abort(outer?.reason)
  outer?.addEventListener('abort', abort)
  if (outer?.aborted) abort()
  try {
    return await call(controller.signal)
  } catch (error) {
    throw controller.signal.reason === late ? late : error
  } finally {
    clearTimeout(timer)
    outer?.removeEventListener('abort', abort)
  }
}
