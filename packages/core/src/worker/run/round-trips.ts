import type { Claim, RequestId, WorkerRef } from '../../job/claim.ts'
import type { Refused, Settled, Settlement } from '../../job/outcome.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { WorkerTrips } from '../../ports/driver.ts'
import type { JobLog, TakeOptions } from '../../ports/job-log.ts'

export interface RoundTripsParts {
  readonly log: Pick<JobLog, 'settle' | 'take' | 'settleAndTake'>
  readonly ref: WorkerRef
  /** Whether `settle` is called in this turn of the event loop: outcomes wait, and no others are under way. */
  readonly isAboutToSettle: () => boolean
}

/**
 * With more outcomes the price of a statement is a small part, and two connections are quicker: the next jobs do not wait until
 * all ends are recorded. Unless those ends make the next jobs ready.
 */
const mostShared = 16

/** A request for jobs that waits for the next outcomes, to go with them. */
interface WaitingTake {
  readonly queues: readonly QueueName[]
  readonly max: number
  readonly request: RequestId
  readonly options: TakeOptions | undefined
  readonly resolve: (claims: readonly Claim[] | Promise<readonly Claim[]>) => void
}

/**
 * Outcomes and requests for jobs of one worker. If both wait in the same turn of the event loop, they go in one round trip, where the log
 * can do that. The next job of an ordering key is granted by the call that records the end of the one before it.
 */
export class RoundTrips implements WorkerTrips {
  readonly #parts: RoundTripsParts
  readonly #listeners = new Set<(queue: QueueName) => void>()
  #waiting: WaitingTake[] = []
  /** Outcomes have been handed over, and wait for requests. */
  #isGathering = false

  constructor(parts: RoundTripsParts) {
    this.#parts = parts
  }

  take(
    queues: readonly QueueName[],
    max: number,
    request: RequestId,
    options?: TakeOptions,
  ): Promise<readonly Claim[]> {
    const { log, ref, isAboutToSettle } = this.#parts
    if (!log.settleAndTake || !(this.#isGathering || isAboutToSettle()))
      return log.take(queues, max, ref, request, options)
    return new Promise((resolve) => {
      this.#waiting.push({ queues, max, request, options, resolve })
    })
  }

  listen(woken: (queue: QueueName) => void): () => void {
    this.#listeners.add(woken)
    return () => this.#listeners.delete(woken)
  }

  /**
   * Records outcomes, together with a request that waits.
   * @param passing queues of which a job may become ready by that. Their subscriptions may ask for it at the same time.
   */
  async settle(
    settlements: readonly Settlement[],
    passing: ReadonlySet<QueueName>,
  ): Promise<readonly (Settled | Refused)[]> {
    const { log, ref } = this.#parts
    if (passing.size > 0 && log.settleAndTake && this.#listeners.size > 0) await this.#gather(passing)
    const [first, ...others] = this.#waiting
    this.#waiting = []
    for (const other of others) this.#takeAlone(other)
    if (!first || !log.settleAndTake) return log.settle(settlements, ref)
    if (settlements.length > mostShared && passing.size === 0) {
      this.#takeAlone(first)
      return log.settle(settlements, ref)
    }
    const { queues, max, request, options } = first
    let settled: readonly (Settled | undefined)[]
    try {
      const answer = await log.settleAndTake(settlements, queues, max, ref, request, options)
      first.resolve(answer.claims)
      settled = withoutGranted(answer.settled, answer.claims)
    } catch {
      // Which of the two is at fault shows when each is done apart. If only the answer was lost, each is answered as before.
      this.#takeAlone(first)
      return log.settle(settlements, ref)
    }
    return this.#settleRest(settlements, settled)
  }

  async #settleRest(
    settlements: readonly Settlement[],
    settled: readonly (Settled | undefined)[],
  ): Promise<readonly (Settled | Refused)[]> {
    const rest = settlements.filter((_, index) => settled[index] === undefined)
    if (rest.length === 0) return settled as readonly Settled[]
    const answers = (await this.#parts.log.settle(rest, this.#parts.ref)).values()
    return settled.map((answer) => answer ?? answers.next().value!)
  }

  async #gather(passing: ReadonlySet<QueueName>): Promise<void> {
    this.#isGathering = true
    for (const queue of passing) for (const woken of this.#listeners) woken(queue)
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    this.#isGathering = false
  }

  #takeAlone({ queues, max, request, options, resolve }: WaitingTake): void {
    const { log, ref } = this.#parts
    resolve(log.take(queues, max, ref, request, options))
  }
}

/** A job that was granted by the same call needs no ticket. */
function withoutGranted(
  settled: readonly (Settled | undefined)[],
  claims: readonly Claim[],
): readonly (Settled | undefined)[] {
  if (claims.length === 0 || settled.every((answer) => !answer?.tickets.length)) return settled
  const granted = new Set(claims.map(({ id }) => id))
  return settled.map(
    (answer) => answer && { ...answer, tickets: answer.tickets.filter(({ id }) => !granted.has(id)) },
  )
}
