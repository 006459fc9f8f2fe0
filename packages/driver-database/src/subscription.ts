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
  TakeOptions,
  Ticket,
  WorkerRef,
  WorkerTrips,
} from '@errand/core/ports'
import { Turns } from './turns.ts'
import { Wakeups } from './wakeups.ts'

export interface SubscriptionParts {
  readonly queues: readonly QueueName[]
  readonly worker: WorkerRef
  readonly trips: WorkerTrips | undefined
  readonly full: TakeOptions['full']
  readonly log: JobLog
  readonly logger: Logger
  readonly clock: Clock
  readonly pollMs: number
  /** Kept for the subscriptions that are opened next. */
  readonly unanswered: Set<Unanswered>
}

/** A take whose answer was lost. */
export interface Unanswered {
  readonly worker: string
  readonly queues: readonly QueueName[]
  readonly request: RequestId
}

/**
 * Takes the jobs of some queues, with one request for all of them. To take is to claim: what it delivers is granted already.
 */
export class DatabaseSubscription implements Subscription {
  readonly #parts: SubscriptionParts
  readonly #lanes = new LanePolicy()
  readonly #turns: Turns
  readonly #wakeups: Wakeups
  readonly #end = new AbortController()
  /** Queues that may have jobs: all but those that had none left and have not been woken since. */
  readonly #unsure: Set<QueueName>
  /** When all of them are asked again, woken or not. */
  #lookMs = Number.NEGATIVE_INFINITY

  constructor(parts: SubscriptionParts) {
    this.#parts = parts
    this.#turns = new Turns(parts.queues)
    this.#unsure = new Set(parts.queues)
    this.#wakeups = new Wakeups({
      ...parts,
      signal: this.#end.signal,
      woken: (queues) => {
        for (const queue of queues) this.#unsure.add(queue)
      },
    })
  }

  /**
   * If the signal aborts during a take, it waits for the answer and delivers it. Otherwise the claims would wait until
   * the heartbeat gives them back.
   */
  async next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const { log, worker, clock } = this.#parts
    // It listens before the first take, so that a job dispatched in between wakes it.
    await this.#wakeups.started(signal)
    while (!signal.aborted && !this.#end.signal.aborted) {
      const waitMs = this.#lookMs - clock.monotonicMs()
      if (this.#unsure.size > 0 || waitMs <= 0) {
        const claims = await this.#take(max)
        if (claims.length > 0) return claims.map((claim) => new Grant(claim, log, worker))
      } else await this.#wakeups.next(Math.ceil(waitMs), signal)
    }
    return []
  }

  async close(): Promise<void> {
    this.#end.abort()
  }

  async #take(max: number): Promise<readonly Claim[]> {
    const { queues: all, worker, full, unanswered, clock, pollMs } = this.#parts
    // A take without an answer may have been granted. It is repeated with the same id and gets the same answer. Only
    // one repeats at a time, so that no claim is delivered twice.
    const lost = [...unanswered].find(
      (take) => take.worker === worker.id && take.queues.some((queue) => all.includes(queue)),
    )
    if (lost) unanswered.delete(lost)
    const request = lost?.request ?? randomUUID()
    // A wake-up can be lost, so all are asked now and then.
    if (clock.monotonicMs() >= this.#lookMs) {
      for (const queue of all) this.#unsure.add(queue)
      this.#lookMs = clock.monotonicMs() + Math.ceil(pollMs * (0.5 + Math.random()))
    }
    const queues = this.#turns.order.filter((queue) => this.#unsure.has(queue))
    this.#unsure.clear()
    try {
      const fromLowest = this.#lanes.fromLowest(max)
      const claims = await observedTake({ worker: worker.id, queues, max }, () =>
        this.#ask(queues, max, request, { fromLowest, full }),
      )
      this.#lanes.granted(claims.length)
      this.#turns.granted(claims)
      // A repeated answer says nothing about what waits now.
      if (claims.length >= max || lost) for (const queue of queues) this.#unsure.add(queue)
      return claims
    } catch (error) {
      unanswered.add({ worker: worker.id, queues: all, request })
      for (const queue of queues) this.#unsure.add(queue)
      throw error
    }
  }

  #ask(
    queues: readonly QueueName[],
    max: number,
    request: RequestId,
    options: TakeOptions,
  ): Promise<readonly Claim[]> {
    const { log, worker, trips } = this.#parts
    return trips ? trips.take(queues, max, request, options) : log.take(queues, max, worker, request, options)
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
