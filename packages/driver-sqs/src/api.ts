import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from '@aws-sdk/client-sqs'
import type { BatchResultErrorEntry, Message, SQSClient } from '@aws-sdk/client-sqs'
import { repeat, withDeadline } from '@errand/core/driver-kit'
import type { EntryResult } from '@errand/core/driver-kit'
import { outside } from '@errand/core/ports'
import { Client } from './client.ts'
import { isPassing, isThrottling } from './errors.ts'
import type { Settings } from './options.ts'

/** The largest batch that SQS takes, and the most messages that one receive brings. */
export const batchSize = 10

export interface ReceiveOptions {
  readonly max: number
  readonly waitSeconds: number
  readonly signal: AbortSignal
}

/** How long the driver waits for SQS. */
export interface Patience {
  /** A request without an answer within this time, repetitions included, has failed. A long poll may take its wait on top. */
  readonly deadlineMs: number
  /** If a first try has no answer by then, its connection may be dead: the next try uses another one. */
  readonly firstTryMs: number
}

export const usualPatience: Patience = { deadlineMs: 10_000, firstTryMs: 3_000 }
/** How often a request is made in all. A poll is made once: its lane repeats it. */
const mostTries = 4
/** The first pause between two tries. It doubles; half of it is random. */
const pauseMs = 100

/** The nine calls of SQS that the driver uses. Each has a deadline, and each but the poll a few tries. */
export class Api {
  readonly #client: Client
  readonly #visibilitySeconds: number
  readonly #patience: Patience
  readonly #closed = new AbortController()

  constructor(settings: Settings, patience: Patience = usualPatience) {
    this.#patience = patience
    this.#client = new Client(settings)
    this.#visibilitySeconds = settings.visibilitySeconds
  }

  async findUrl(name: string): Promise<string> {
    const command = new GetQueueUrlCommand({ QueueName: name })
    const { QueueUrl } = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    return known(QueueUrl)
  }

  async create(name: string, tags: Readonly<Record<string, string>>): Promise<string> {
    const command = new CreateQueueCommand({ QueueName: name, tags })
    const { QueueUrl } = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    return known(QueueUrl)
  }

  async receive(url: string, { max, waitSeconds, signal }: ReceiveOptions): Promise<readonly Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: this.#visibilitySeconds,
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    })
    const call = (abortSignal: AbortSignal) => this.#sdk.send(command, { abortSignal })
    const { Messages } = await this.#within(waitSeconds * 1_000 + this.#patience.deadlineMs, call, signal)
    return Messages ?? []
  }

  async send(url: string, bodies: readonly string[]): Promise<readonly EntryResult[]> {
    const Entries = bodies.map((MessageBody, index) => ({ Id: `${index}`, MessageBody }))
    const command = new SendMessageBatchCommand({ QueueUrl: url, Entries })
    const answer = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    return readResults(bodies, answer)
  }

  async delete(url: string, handles: readonly string[]): Promise<readonly EntryResult[]> {
    const Entries = handles.map((ReceiptHandle, index) => ({ Id: `${index}`, ReceiptHandle }))
    const command = new DeleteMessageBatchCommand({ QueueUrl: url, Entries })
    const answer = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    return readResults(handles, answer)
  }

  /** Makes the tickets visible to others at once. */
  async handBack(url: string, handles: readonly string[]): Promise<readonly EntryResult[]> {
    const Entries = handles.map((ReceiptHandle, index) => ({
      Id: `${index}`,
      ReceiptHandle,
      VisibilityTimeout: 0,
    }))
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries })
    const answer = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    return readResults(handles, answer)
  }

  /** An estimate of the waiting messages, including those that are not due yet, without those that a worker holds. */
  async depth(url: string): Promise<number> {
    const command = new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesDelayed'],
    })
    const { Attributes } = await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
    const counts = Object.values(Attributes ?? {}).map(Number)
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async purge(url: string): Promise<void> {
    const command = new PurgeQueueCommand({ QueueUrl: url })
    await this.#repeated((abortSignal) => this.#sdk.send(command, { abortSignal }))
  }

  get #sdk(): SQSClient {
    return this.#client.sdk
  }

  /** Rejects requests under way, and all later ones, with `reason` at once. */
  close(reason: Error): void {
    this.#closed.abort(reason)
    this.#client.close()
  }

  /** Makes the call, and repeats it if that may help, within one deadline for all tries. */
  #repeated<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const isWorthIt = (error: unknown): boolean => {
      const passing = isPassing(error)
      if (passing) this.#client.failed(error)
      return passing
    }
    const { deadlineMs, firstTryMs } = this.#patience
    return this.#within(deadlineMs, (signal) => {
      let tries = 0
      const tried = (): Promise<T> => {
        tries += 1
        // A network does not report a connection that it has dropped. Such a try must not use up the time of the others.
        return tries === 1 ? withDeadline(firstTryMs, call, { signals: [signal] }) : call(signal)
      }
      return repeat(tried, { tries: mostTries, pauseMs, isPassing: isWorthIt, signal })
    })
  }

  /** Makes the call with a deadline in real time, whatever clock the rest of the process has: SQS uses real time. */
  async #within<T>(ms: number, call: (signal: AbortSignal) => Promise<T>, outer?: AbortSignal): Promise<T> {
    const signals = outer ? [this.#closed.signal, outer] : [this.#closed.signal]
    try {
      // A kept socket also keeps the async context in which it was made. That must not be a caller's.
      return await withDeadline(ms, (signal) => outside(() => call(signal)), { signals })
    } catch (error) {
      this.#client.failed(error)
      throw error
    }
  }
}

function known(url: string | undefined): string {
  if (url === undefined) throw new Error('SQS answered without the URL of the queue')
  return url
}

/** Results in the order of the entries. An entry that SQS does not mention may have been done; it is sent again. */
function readResults(
  entries: readonly string[],
  answer: {
    readonly Successful?: readonly { readonly Id?: string | undefined }[] | undefined
    readonly Failed?: readonly BatchResultErrorEntry[] | undefined
  },
): readonly EntryResult[] {
  const done = new Set(answer.Successful?.map(({ Id }) => Id))
  const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
  return entries.map((_, index) => {
    if (done.has(`${index}`)) return { done: true }
    const entry = failed.get(`${index}`)
    const code = entry?.Code ?? 'Unanswered'
    const again = entry?.SenderFault !== true || isThrottling(code)
    return { done: false, code, message: entry?.Message ?? '', again }
  })
}
