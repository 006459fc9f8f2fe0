import type { QueueName } from '../job/ticket.ts'
import type { HeldQueue, JobStore } from './store.ts'

export function pausedOf(held: readonly HeldQueue[]): QueueName[] {
  return held.flatMap(({ name, pausedBy }) => (pausedBy === undefined ? [] : [name]))
}

export function listPaused(store: JobStore): QueueName[] {
  return pausedOf(store.heldQueues())
}

/** The places of limited queues that one call leaves free: those that run are counted before it grants any. */
export class Places {
  readonly #left: Map<QueueName, () => number>

  constructor(store: JobStore, held: readonly HeldQueue[]) {
    this.#left = new Map(
      held.flatMap(({ name, limit }) =>
        limit === undefined
          ? []
          : [[name, () => this.#set(name, Math.max(0, limit.concurrency - store.running(name)))]],
      ),
    )
  }

  /** Infinity for a queue without a limit. */
  left(queue: QueueName): number {
    return this.#left.get(queue)?.() ?? Number.POSITIVE_INFINITY
  }

  /** Whether there was one. */
  take(queue: QueueName): boolean {
    const left = this.left(queue)
    if (left === 0) return false
    if (this.#left.has(queue)) this.#set(queue, left - 1)
    return true
  }

  /** Those of the queues that have none left. */
  full(queues: readonly QueueName[]): readonly QueueName[] {
    return queues.filter((queue) => this.left(queue) === 0)
  }

  #set(queue: QueueName, left: number): number {
    this.#left.set(queue, () => left)
    return left
  }
}
