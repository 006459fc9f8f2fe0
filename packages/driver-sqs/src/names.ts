import { createHash } from 'node:crypto'
import type { Lane, QueueName } from '@errand/core/ports'

/** The longest name that SQS takes. */
const longestName = 80
const digestLength = 10

/**
 * `PREFIX` + queue + `-` + lane. SQS knows no dots in names: a dot becomes `__`. Where that could be another queue's name
 * as well, or is longer than SQS takes, a digest of the queue's name ends it, so that no two queues ever share one.
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
