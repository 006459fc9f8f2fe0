import { createHash } from 'node:crypto'
import { ErrandError } from '@errand/core/ports'
import type { Lane, QueueName } from '@errand/core/ports'

/** The longest name that SQS takes. */
const longestName = 80
const longestPrefix = 40
const digestLength = 10

/** @throws `E_OPTION` */
export function checkPrefix(prefix: unknown): string {
  if (typeof prefix === 'string' && new RegExp(`^[A-Za-z0-9_-]{0,${longestPrefix}}$`).test(prefix))
    return prefix
  throw new ErrandError(
    'E_OPTION',
    `prefix of sqs() must be at most ${longestPrefix} letters, digits, - and _; got ${JSON.stringify(prefix)}`,
  )
}

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
