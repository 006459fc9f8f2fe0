import { seeded } from './seeded.ts'
import { realPause } from './until.ts'

/** How often, from 0 (default: never) to 1 (always). */
export interface SqsFaultRates {
  /** A message that was received comes again with a later receive, even if it has been deleted in between. */
  readonly duplicate?: number | undefined
  /** The messages of a receive come in another order. A message that is sent arrives a second late, so that others overtake it. */
  readonly reorder?: number | undefined
  /** A request takes up to `maxDelayMs` longer. */
  readonly delay?: number | undefined
  /** SQS refuses a request because there were too many. */
  readonly throttle?: number | undefined
  /** A request is answered with 503. */
  readonly unavailable?: number | undefined
  /** A send, a delete or a change of visibility is done, and the connection is lost before its reply. */
  readonly lostReply?: number | undefined
  /** One entry of a batch of deletes is not done, and the reply says so. */
  readonly failedDelete?: number | undefined
  /** About half of a batch's entries are not done, and the reply says so. */
  readonly halfBatch?: number | undefined
  /** SQS does not know the queue. `everySqsFault` leaves it out: it does not happen to a queue that exists. */
  readonly missingQueue?: number | undefined
}

export type SqsFault = keyof SqsFaultRates

export interface SqsFaultOptions {
  /** The same seed gives the same faults, in the order of the requests. */
  readonly seed: number
  readonly rates?: SqsFaultRates | undefined
  /** The longest delay. Default 100 ms. */
  readonly maxDelayMs?: number | undefined
}

/** Every fault that SQS is known for, at one rate. */
export function everySqsFault(rate: number): SqsFaultRates {
  return {
    duplicate: rate,
    reorder: rate,
    delay: rate,
    throttle: rate,
    unavailable: rate,
    lostReply: rate,
    failedDelete: rate,
    halfBatch: rate,
  }
}

interface Message {
  readonly MessageId?: string | undefined
}
interface BatchEntry {
  readonly Id?: string | undefined
  readonly DelaySeconds?: number | undefined
}
interface Input {
  readonly QueueUrl?: string | undefined
  readonly MaxNumberOfMessages?: number | undefined
  readonly Entries?: readonly BatchEntry[] | undefined
}
interface Output {
  Messages?: Message[] | undefined
  Failed?: object[] | undefined
}
interface Call {
  readonly input: object
}
interface Reply {
  output: object
  response: unknown
}
type Handler = (call: Call) => Promise<Reply>
type Middleware = (next: Handler, context: { readonly commandName?: string | undefined }) => Handler

/**
 * The parts of an `SQSClient` that are used here, so that the testkit does not install the SDK. Its types of middleware
 * differ by step and by version: `never` fits all of them.
 */
export interface FaultyClient {
  readonly middlewareStack: {
    add(middleware: never, options: { readonly step: 'initialize'; readonly name: string }): void
    addRelativeTo(
      middleware: never,
      options: { readonly relation: 'after'; readonly toMiddleware: string; readonly name: string },
    ): void
  }
}

/**
 * Gives an `SQSClient` the faults of SQS, which emulators do not have, and counts its requests. Faults happen below the
 * SDK's own repetition: each attempt may fail.
 * @example
 * const faults = new SqsFaults({ seed: 7, rates: everySqsFault(0.1) })
 * faults.install(client)
 */
export class SqsFaults {
  /** Requests by operation, such as `ReceiveMessage`. Every attempt counts, as on the bill. */
  readonly requests: Record<string, number> = {}
  /** How often each fault was made. */
  readonly made: Partial<Record<SqsFault, number>> = {}
  /** May be changed at any time. */
  rates: SqsFaultRates
  readonly #random: () => number
  readonly #maxDelayMs: number
  /** Messages that will come again, by queue. */
  readonly #echoes = new Map<string, Message[]>()
  #cut = new AbortController()

  constructor({ seed, rates = {}, maxDelayMs = 100 }: SqsFaultOptions) {
    this.rates = rates
    this.#random = seeded(seed)
    this.#maxDelayMs = maxDelayMs
  }

  get totalRequests(): number {
    return Object.values(this.requests).reduce((sum, count) => sum + count, 0)
  }

  /** May be called for several clients. They then share the random numbers and the counters. */
  install(client: FaultyClient): void {
    const whole: Middleware =
      (next, { commandName }) =>
      (call) =>
        this.#command(toOperation(commandName), call, next)
    const attempt: Middleware =
      (next, { commandName }) =>
      (call) =>
        this.#attempt(toOperation(commandName), call, next)
    client.middlewareStack.add(whole as never, { step: 'initialize', name: 'sqsFaultyCommand' })
    client.middlewareStack.addRelativeTo(attempt as never, {
      relation: 'after',
      toMiddleware: 'retryMiddleware',
      name: 'sqsFaultyAttempt',
    })
  }

  /** Cuts the connection under every request that is under way. */
  sever(): void {
    this.#cut.abort()
    this.#cut = new AbortController()
  }

  #happens(fault: SqsFault): boolean {
    if (this.#random() >= (this.rates[fault] ?? 0)) return false
    this.made[fault] = (this.made[fault] ?? 0) + 1
    return true
  }

  /** One HTTP request. */
  async #attempt(operation: string, call: Call, next: Handler): Promise<Reply> {
    this.requests[operation] = (this.requests[operation] ?? 0) + 1
    if (this.#happens('delay')) await realPause(this.#random() * this.#maxDelayMs)
    if (this.#happens('throttle')) throw refusal('RequestThrottled', 'client', 400)
    if (this.#happens('unavailable')) throw refusal('ServiceUnavailable', 'server', 503)
    if ('QueueUrl' in call.input && this.#happens('missingQueue'))
      throw refusal('QueueDoesNotExist', 'client', 400)
    const reply = await unlessCut(next(call), this.#cut.signal)
    if (changes(operation) && this.#happens('lostReply')) throw resetByPeer()
    return reply
  }

  /** One call of the SDK, with all its attempts. */
  async #command(operation: string, call: Call, next: Handler): Promise<Reply> {
    const input: Input = call.input
    if (operation === 'ReceiveMessage') {
      const reply = await next(call)
      this.#disturb(input, reply.output)
      return reply
    }
    if (!input.Entries) return next(call)
    const entries =
      operation === 'SendMessageBatch' ? input.Entries.map((entry) => this.#late(entry)) : input.Entries
    const failing = this.#failing(operation, entries)
    const kept = entries.filter((entry) => !failing.has(entry))
    const reply: Reply =
      kept.length === 0
        ? { response: undefined, output: { Successful: [], $metadata: {} } }
        : await next({ ...call, input: { ...input, Entries: kept } })
    const output: Output = reply.output
    output.Failed = [...(output.Failed ?? []), ...[...failing].map(failedEntry)]
    return reply
  }

  /** The entries that will not be done. */
  #failing(operation: string, entries: readonly BatchEntry[]): ReadonlySet<BatchEntry> {
    const failing = new Set<BatchEntry>()
    if (this.#happens('halfBatch')) for (const entry of entries) if (this.#random() < 0.5) failing.add(entry)
    if (operation === 'DeleteMessageBatch' && this.#happens('failedDelete')) {
      const unlucky = entries[Math.floor(this.#random() * entries.length)]
      if (unlucky) failing.add(unlucky)
    }
    return failing
  }

  #late(entry: BatchEntry): BatchEntry {
    return this.#happens('reorder') ? { ...entry, DelaySeconds: 1 } : entry
  }

  #disturb({ QueueUrl = '', MaxNumberOfMessages = 1 }: Input, output: Output): void {
    const messages = output.Messages ?? []
    const echoes = this.#echoes.get(QueueUrl) ?? []
    const fresh = messages.filter(() => this.#happens('duplicate'))
    // SQS never gives more than it was asked for.
    const all = [...messages, ...echoes.splice(0, Math.max(0, MaxNumberOfMessages - messages.length))]
    this.#echoes.set(QueueUrl, [...echoes, ...fresh])
    if (this.#happens('reorder')) this.#shuffle(all)
    if (all.length > 0) output.Messages = all
  }

  #shuffle(items: unknown[]): void {
    for (let i = items.length - 1; i > 0; i -= 1) {
      const j = Math.floor(this.#random() * (i + 1))
      ;[items[i], items[j]] = [items[j], items[i]]
    }
  }
}

function toOperation(commandName: string | undefined): string {
  return (commandName ?? 'unknown').replace(/Command$/, '')
}

function changes(operation: string): boolean {
  return ['SendMessageBatch', 'DeleteMessageBatch', 'ChangeMessageVisibilityBatch'].includes(operation)
}

function failedEntry({ Id }: BatchEntry): object {
  return { Id, Code: 'InternalError', Message: 'made by SqsFaults', SenderFault: false }
}

function refusal(name: string, fault: 'client' | 'server', httpStatusCode: number): Error {
  return Object.assign(new Error('made by SqsFaults'), { name, $fault: fault, $metadata: { httpStatusCode } })
}

function resetByPeer(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', $metadata: {} })
}

function unlessCut<T>(work: Promise<T>, cut: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const lost = (): void => reject(resetByPeer())
    cut.addEventListener('abort', lost)
    void work.then(resolve, reject).finally(() => cut.removeEventListener('abort', lost))
  })
}
