import type { Claim, QueueName } from '@errand/core/ports'

/**
 * In which order the queues of a subscription are served. The one that was served the longest time ago is first. Of those
 * that were served together, the one that was granted less.
 */
export class Turns {
  #order: readonly QueueName[]

  constructor(queues: readonly QueueName[]) {
    this.#order = queues
  }

  get order(): readonly QueueName[] {
    return this.#order
  }

  granted(claims: readonly Claim[]): void {
    if (this.#order.length < 2 || claims.length === 0) return
    const counts = new Map<QueueName, number>()
    for (const { job } of claims) counts.set(job.queue, (counts.get(job.queue) ?? 0) + 1)
    const served = this.#order.filter((queue) => counts.has(queue))
    this.#order = [
      ...this.#order.filter((queue) => !counts.has(queue)),
      ...served.toSorted((a, b) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0)),
    ]
  }
}
