import { randomUUID } from 'node:crypto'
import { LanePolicy, observedTake } from '@errand/core/ports'
import type {
  Claim,
  Clock,
  Delivery,
  JobLog,
  Logger,
  QueueName,
  RequestId,
  Subscription,
  Ticket,
  Topic,
  WorkerRef,
} from '@errand/core/ports'
import { Wakeups } from './wakeups.ts'

export interface SubscriptionParts {
  readonly queue: QueueName
  readonly worker: WorkerRef
  readonly log: JobLog
  readonly logger: Logger
  readonly clock: Clock
  readonly pollMs: number
  /** The take of this queue whose answer was lost, if any. It is kept when a subscription is opened again. */
  readonly unanswered: Map<string, RequestId>
}

/** Takes the jobs of one queue. To take is to claim: what it delivers is granted already. */
export class DatabaseSubscription implements Subscription {
  readonly #parts: SubscriptionParts
  readonly #lanes = new LanePolicy()
  readonly #wakeups: Wakeups
  readonly #end = new AbortController()

  constructor(parts: SubscriptionParts) {
    this.#parts = parts
    this.#wakeups = new Wakeups({
      ...parts,
      topic: `queue:${parts.queue}` as Topic,
      signal: this.#end.signal,
    })
  }

  /**
   * If the signal aborts during a take, it waits for the answer and delivers it. Otherwise the claims would wait until
   * the heartbeat gives them back.
   */
  async next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const { log, worker } = this.#parts
    // It listens before the first take, so that a job dispatched in between wakes it.
    await this.#wakeups.started(signal)
    while (!signal.aborted && !this.#end.signal.aborted) {
      const since = this.#wakeups.count
      const claims = await this.#take(max)
      if (claims.length > 0) return claims.map((claim) => new Grant(claim, log, worker))
      await this.#wakeups.next(since, this.#parts.pollMs * (0.5 + Math.random()), signal)
    }
    return []
  }

  async close(): Promise<void> {
    this.#end.abort()
  }

  async #take(max: number): Promise<readonly Claim[]> {
    const { log, queue, worker, unanswered } = this.#parts
    // A take without an answer may have been granted. It is repeated with the same id and gets the same answer. Only
    // one repeats at a time, so that no claim is delivered twice.
    const key = `${worker.id} ${queue}`
    const request = unanswered.get(key) ?? randomUUID()
    unanswered.delete(key)
    try {
      const fromLowest = this.#lanes.fromLowest(max)
      const claims = await observedTake({ worker: worker.id, queues: [queue], max }, () =>
        log.take([queue], max, worker, request, { fromLowest }),
      )
      this.#lanes.granted(claims.length)
      return claims
    } catch (error) {
      unanswered.set(key, request)
      throw error
    }
  }
}

/** A job whose delivery is its claim. */
class Grant implements Delivery {
  readonly granted: Claim
  readonly #log: JobLog
  readonly #worker: WorkerRef

  constructor(claim: Claim, log: JobLog, worker: WorkerRef) {
    this.granted = claim
    this.#log = log
    this.#worker = worker
  }

  get ticket(): Ticket {
    const { id, job } = this.granted
    return { id, queue: job.queue, lane: job.lane, log: '' }
  }

  /** The claim is committed, and there is no broker that must forget something. */
  async ack(): Promise<void> {}

  async release(): Promise<void> {
    const { id, run } = this.granted
    const error = { codec: 'json', text: JSON.stringify({ name: 'Released', message: 'not begun' }) }
    await this.#log.settle(
      [{ id, run, durationMs: 0, outcome: { kind: 'release', begun: false, why: 'undelivered', error } }],
      this.#worker,
    )
  }
}
