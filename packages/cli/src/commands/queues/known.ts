import type { Errand, QueueInfo } from '@errand/core'
import { didYouMean, ErrandError } from '@errand/core/ports'

/**
 * The queue of that name. A misspelt name must not act on nothing.
 * @throws `E_NOT_FOUND` if nobody serves it and it has no jobs.
 */
export async function knownQueue(errand: Errand, name: string): Promise<QueueInfo> {
  const queues = await errand.queues.list()
  const found = queues.find((queue) => queue.name === name)
  if (found) return found
  const names = queues.map((queue) => queue.name)
  const hint = names.length === 0 ? 'there is no queue at all' : didYouMean(name, names)
  throw new ErrandError(
    'E_NOT_FOUND',
    `nobody serves queue ${name}, it has no unfinished job, and it is neither paused nor limited; ${hint}`,
  )
}
