import type { QueueName } from '../job/ticket.ts'

/** Between two readings of no tickets that make it certain that a published job has lost its own. */
const emptyForMs = 60_000

/**
 * Queues whose tickets may be gone from the broker: it was away, or has said twice, a minute apart, that it has none.
 * Their jobs need not wait for a grace that has doubled for tickets that nobody can fetch any more.
 */
export class SuspectQueues {
  readonly #queues: Set<QueueName>
  readonly #emptySinceMs = new Map<QueueName, number>()

  /** A process that starts knows nothing: these may have been published to another broker. */
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

  /** It has no tickets of the queue at this moment. Answers whether that is so for a minute. */
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
