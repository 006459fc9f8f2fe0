import { createHash } from 'node:crypto'
import type { Lane, QueueName } from '@errand/core/ports'

/** The longest name that SQS takes. */
const longestName = 80
const digestLength = 10

/**
 * `PREFIX` + queue + `-` + lane. SQS allows no dots in names, so a dot becomes `__`. If the result could be another queue's
 * name too, or is too long for SQS, a digest of the queue's name is added: two queues never share a name.
 * @example sqsName('errand-', 'media.thumbnails', 'high') // 'errand-media__thumbnails-high'
 */
export function sqsName(prefix: string, queue: QueueName, lane: Lane): string {
  const readable = queue.replaceAll('.', '__')
  const name = `${prefix}${readable}-${lane}`
  if (name.length <= longestName && !/__|_\.|\._|\.\./.test(queue)) return name
  const digest = createHash('sha256').update(queue).digest('hex').slice(0, digestLength)
  const room = longestName - prefix.length - lane.length - digestLength - 2
  return `${prefix}${readable.slice(0, room)}-${digest}-${lane}`
}
