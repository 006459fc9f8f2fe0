import type { QueueName } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import { News } from '../../news.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Trouble } from '../../supervise.ts'
import { describeQueues } from '../../describe-queues.ts'

/**
 * Logs which queues of a worker are served. Its queues share a broker, so a trouble that they share is logged once, and
 * its end as well.
 */
export class Service {
  readonly #logger: Logger
  readonly #news: News
  readonly #served: () => void
  /** The queues of each feed, by its own array. */
  readonly #failing = new Set<readonly QueueName[]>()
  /** A failure was logged, and its end not yet. */
  #isSaid = false

  /** @param served is called for each subscription. */
  constructor(clock: Clock, logger: Logger, served: () => void) {
    this.#served = served
    this.#logger = logger
    this.#news = new News(clock)
  }

  failed(queues: readonly QueueName[], { error, failures, waitMs }: Trouble): void {
    this.#failing.add(queues)
    const facts = { err: error, queues, failures, waitMs }
    const fact = error instanceof Error ? error.message : String(error)
    if (this.#news.isNew(fact)) {
      this.#isSaid = true
      this.#logger.warn(facts, 'no jobs can be fetched; it is tried again')
    } else
      this.#logger.debug(facts, `no jobs can be fetched for ${describeQueues(queues)}; it is tried again`)
  }

  subscribed(queues: readonly QueueName[]): void {
    this.#served()
    this.#failing.delete(queues)
    if (this.#failing.size > 0) return
    this.#news.over()
    if (!this.#isSaid) return
    this.#isSaid = false
    this.#logger.info({}, 'jobs of all queues are fetched again')
  }
}
