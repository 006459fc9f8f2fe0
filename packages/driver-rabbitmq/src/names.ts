import { lanes } from '@errand/core/ports'
import type { Lane, QueueName } from '@errand/core/ports'

/**
 * Version of what is declared: other arguments need another name, as a queue's arguments can never change. The colons
 * keep names apart: neither a prefix nor a queue's name can hold one.
 */
const version = 'v1'

/** `errand:media:critical:v1`: one queue of the broker for each queue and lane. */
export function brokerQueue(prefix: string, queue: QueueName, lane: Lane): string {
  return `${prefix}:${queue}:${lane}:${version}`
}

/** Highest lane first. */
export function brokerQueues(prefix: string, queue: QueueName): readonly string[] {
  return lanes.map((lane) => brokerQueue(prefix, queue, lane))
}
