import type { QueueName } from '../job/ticket.ts'

/** The time between two empty readings, after which a published job has certainly lost its ticket. */
const emptyForMs = 60_000

/**
 * Queues whose tickets may be gone from the broker: it was away, or has said twice, a minute apart, that it has none.
 * Their jobs must not wait for a long grace: no worker can fetch their tickets any more.
 */
export class SuspectQueues {
  readonly #queues: Set<QueueName>
  readonly #emptySinceMs = new Map<QueueName, number>()

  /** A process that starts suspects all its queues: their jobs may have been published to another broker. */
  constructor(queues: readonly QueueName[]) {
    this.#queues = new Set(queues)
  }

  get queues(): readonly QueueName[] {
    return [...this.#queues]
  }

  /** The broker was away, or did not take tickets, and is back. */
  returned(queue: QueueName): void {
    this.#queues.add(queue)
  }

  /** The broker has no tickets of the queue now. Returns whether this has been so for a minute. */
  empty(queue: QueueName, nowMs: number): boolean {
    const sinceMs = this.#emptySinceMs.get(queue)
    if (sinceMs !== undefined && nowMs - sinceMs < emptyForMs) return false
    this.#emptySinceMs.set(queue, nowMs)
    if (sinceMs !== undefined) this.#queues.add(queue)
    return sinceMs !== undefined
  }

  /** The grace of all their jobs has started over. */
  settled(queues: readonly QueueName[]): void {
    for (const queue of queues) this.#queues.delete(queue)
  }
}
