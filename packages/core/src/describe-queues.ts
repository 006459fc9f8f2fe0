import type { QueueName } from './job/ticket.ts'

const most = 3

/** `queue mail`, or `queues mail, media, search and 97 more`. */
export function describeQueues(queues: readonly QueueName[]): string {
  if (queues.length === 1) return `queue ${queues[0]}`
  const more = queues.length > most ? ` and ${queues.length - most} more` : ''
  return `queues ${queues.slice(0, most).join(', ')}${more}`
}
