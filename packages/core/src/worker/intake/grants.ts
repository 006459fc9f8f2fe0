import { randomUUID } from 'node:crypto'
import { isErrandError } from '../../errors.ts'
import type { Claim, RequestId, Verdict, WorkerRef } from '../../job/claim.ts'
import type { QueueName, Ticket } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ClaimOptions, JobLog } from '../../ports/job-log.ts'
import { backoffMs } from '../../supervise.ts'
import { isObserved, trace } from '../../telemetry/channels.ts'
import { observedTake } from '../../telemetry/take.ts'

export interface GrantsOptions {
  readonly log: JobLog
  readonly ref: WorkerRef
  readonly clock: Clock
  readonly logger: Logger
  readonly leaseLeftMs: () => number
}

const retryMinMs = 20
const retryMaxMs = 2_000

/**
 * Asks the log for claims. If an answer is lost, the same request is repeated with the same id while the lease holds:
 * the log then answers again with what it granted. After that, the beats give back claims that no run knows.
 */
export class Grants {
  readonly #options: GrantsOptions
  #open = 0

  constructor(options: GrantsOptions) {
    this.#options = options
  }

  /** Requests without an answer. A claim that this process does not know may be one of theirs. */
  get open(): number {
    return this.#open
  }

  /** @throws `E_LEASE_OUT`, and what the log throws once the lease is out. */
  claim(tickets: readonly Ticket[], max: number, options?: ClaimOptions): Promise<readonly Verdict[]> {
    const { log, ref } = this.#options
    const ask = (): Promise<readonly Verdict[]> =>
      this.#untilAnswered((request) => log.claim(tickets, max, ref, request, options))
    if (!isObserved('claim')) return ask()
    const queues = [...new Set(tickets.map(({ queue }) => queue))]
    return trace('claim', { worker: ref.id, queues, tickets: tickets.length, max }, async (context) => {
      const verdicts = await ask()
      context.claims = verdicts.flatMap((each) => (each.verdict === 'run' ? [each.claim] : []))
      return verdicts
    })
  }

  /** Jobs that became ready so long ago that a ticket should have fetched them. @throws as `claim`. */
  takeOverdue(queues: readonly QueueName[], max: number): Promise<readonly Claim[]> {
    const { log, ref } = this.#options
    return observedTake({ worker: ref.id, queues, max }, () =>
      this.#untilAnswered((request) => log.take(queues, max, ref, request, { overdue: true })),
    )
  }

  async #untilAnswered<T>(ask: (request: RequestId) => Promise<T>): Promise<T> {
    const { clock, logger, leaseLeftMs } = this.#options
    const request = randomUUID()
    this.#open += 1
    try {
      for (let failures = 1; ; failures += 1) {
        try {
          return await ask(request)
        } catch (error) {
          const final = isErrandError(error, 'E_LEASE_OUT') || isErrandError(error, 'E_CLOSED')
          if (final || leaseLeftMs() <= 0) throw error
          logger.warn({ err: error, failures }, 'the log did not answer a request for jobs; it is repeated')
          await clock.sleep(backoffMs(failures, retryMinMs, retryMaxMs))
        }
      }
    } finally {
      this.#open -= 1
    }
  }
}
