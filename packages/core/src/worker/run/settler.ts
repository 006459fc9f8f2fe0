import { batcher } from '../../batching.ts'
import type { Batcher } from '../../batching.ts'
import type { Settings } from '../../config/defaults.ts'
import type { Publisher } from '../../dispatch/publisher.ts'
import { ErrandError, isErrandError } from '../../errors.ts'
import type { Fence, WorkerRef } from '../../job/claim.ts'
import type { Refused, Settled, Settlement } from '../../job/outcome.ts'
import type { QueueName, Ticket } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { JobLog } from '../../ports/job-log.ts'
import { backoffMs } from '../../supervise.ts'
import { isObserved, trace } from '../../telemetry/channels.ts'
import { RoundTrips } from './round-trips.ts'
import { toKey } from './runs.ts'

export interface SettlerOptions {
  readonly log: JobLog
  readonly ref: WorkerRef
  readonly publisher: Publisher
  /** Is told of each outcome that the log has recorded. */
  readonly recorded: (settlement: Settlement, settled: Settled) => void
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Pick<Settings, 'batchItems' | 'batchBytes'>
}

const retryMinMs = 50
const retryMaxMs = 5_000
/**
 * After this many refusals, half a minute of them, a settlement is set aside. From then on it is offered this often.
 */
const mostRefusals = 12
const asideMs = 60_000
/** After this many more offers its run is given up: a run without a timeout has no deadline that would do so. */
const mostAsides = 10
/** Keys with a locked row are tried this often, then left to the sweep. */
const passNotesTries = 5
const passNotesMs = 10
const passNotesLimit = 500

/**
 * Records outcomes in batches. A settlement is offered until the log has answered it: even if the lease has run out or
 * the log was down, only the fence decides whether a run counts. A settlement that the log refuses is offered apart
 * from the others. If the log keeps refusing it, it is set aside. If it is never recorded, its run counts as lost.
 */
export class Settler {
  /** For requests that may go with outcomes. */
  readonly trips: RoundTrips
  readonly #options: SettlerOptions
  readonly #batcher: Batcher<Settlement, Settled>
  readonly #givenUp = new AbortController()
  readonly #passing = new AbortController()
  #passes: Promise<void> | undefined
  readonly #aside = new Set<string>()
  readonly #lost = new Map<string, Fence>()
  /** When the log last recorded something, by the monotonic clock. */
  #recordedMs = Number.NEGATIVE_INFINITY
  /** Queues whose jobs' ends, of those that wait, may pass on an ordering key. */
  #passingOn = new Set<QueueName>()

  constructor(options: SettlerOptions) {
    const { log, ref } = options
    this.#options = options
    this.trips = new RoundTrips({ log, ref, isAboutToSettle: () => this.#batcher.isAboutToSend })
    this.#batcher = batcher({
      run: async (settlements) => {
        const answers = await this.#untilAnswered(settlements)
        return answers.some(isRefused)
          ? answers.map((answer, index) =>
              isRefused(answer) ? this.#insist(settlements[index]!, answer) : answer,
            )
          : (answers as readonly Settled[])
      },
      maxItems: options.settings.batchItems,
      maxWeight: options.settings.batchBytes,
      weigh: weigh,
      // The next jobs are asked for first: handlers wait for them, and nothing waits for this.
      late: true,
    })
  }

  /** Outcomes that the log has not answered yet. */
  get waiting(): number {
    return this.#batcher.size
  }

  /**
   * Rejects only when the worker has given up waiting for the log, or the settlement was set aside.
   * @param passesOn the queue of a job that holds an ordering key, if this may end it
   */
  settle(settlement: Settlement, passesOn?: QueueName): Promise<Settled> {
    if (passesOn !== undefined) this.#passingOn.add(passesOn)
    return this.#batcher.add(settlement)
  }

  /** True if it was set aside. It is still offered now and then. */
  hasAside(fence: Fence): boolean {
    return this.#aside.size > 0 && this.#aside.has(toKey(fence))
  }

  /** Runs whose outcomes were refused for so long that they must count as lost. They are still offered. */
  get givenUp(): readonly Fence[] {
    return [...this.#lost.values()]
  }

  /** Stops offering. The sweep decides about what is unanswered, once the lease has run out. */
  giveUp(): void {
    this.#givenUp.abort()
  }

  async close(): Promise<void> {
    await this.#batcher.close()
    this.#passing.abort()
    await this.#passes
  }

  async #untilAnswered(
    settlements: readonly Settlement[],
    failuresBefore = 0,
  ): Promise<readonly (Settled | Refused)[]> {
    const { ref, clock, logger } = this.#options
    const passingOn = this.#passingOn
    if (passingOn.size > 0) this.#passingOn = new Set()
    for (let failures = failuresBefore; ;) {
      try {
        const answers = await settleIn(this.trips, settlements, passingOn, ref)
        this.#answered(settlements, answers)
        return answers
      } catch (error) {
        failures += 1
        if (this.#givenUp.signal.aborted || isErrandError(error, 'E_CLOSED')) throw error
        // The cause may be something in this batch and not the log. Its halves will show.
        if (failures > 1 && isErrandError(error, 'E_LOG')) {
          const [first] = settlements
          if (first && settlements.length === 1) return [refusedBy(first, error)]
          const middle = Math.ceil(settlements.length / 2)
          return [
            ...(await this.#untilAnswered(settlements.slice(0, middle), failures)),
            ...(await this.#untilAnswered(settlements.slice(middle), failures)),
          ]
        }
        const waitMs = Math.round(backoffMs(failures, retryMinMs, retryMaxMs))
        logger.warn(
          { err: error, count: settlements.length, failures, waitMs },
          'the log did not record outcomes; they are offered again',
        )
        await clock.sleep(waitMs, this.#givenUp.signal)
      }
    }
  }

  #answered(settlements: readonly Settlement[], answers: readonly (Settled | Refused)[]): void {
    const { log, clock, recorded } = this.#options
    const tickets: Ticket[] = []
    let count = 0
    let isKeyPending = false
    for (let index = 0; index < answers.length; index += 1) {
      const answer = answers[index]!
      if (isRefused(answer)) continue
      recorded(settlements[index]!, answer)
      for (const ticket of answer.tickets) tickets.push(ticket)
      isKeyPending ||= answer.pending
      count += 1
    }
    if (count === 0) return
    this.#recordedMs = clock.monotonicMs()
    // Not awaited: followers also poll.
    void log.notify(['events']).catch(() => undefined)
    this.#publish(tickets)
    if (isKeyPending) this.#passNotesSoon()
  }

  /** Offers separately what the log refuses. If the log records nothing else either, the settlement is not at fault. */
  async #insist(settlement: Settlement, refused: Refused & { readonly thrown?: boolean }): Promise<Settled> {
    const { clock, logger } = this.#options
    const { id, run } = settlement
    const sinceMs = clock.monotonicMs()
    let { why, thrown } = refused
    for (let refusals = 1, tries = 1; refusals < mostRefusals; tries += 1) {
      await clock.sleep(backoffMs(tries, retryMinMs, retryMaxMs), this.#givenUp.signal)
      const answer = await this.#once(settlement)
      if (!isRefused(answer)) return answer
      ;({ why, thrown } = answer)
      if (thrown !== true || this.#recordedMs > sinceMs) refusals += 1
      logger.warn({ job: id, run, why }, 'the log refuses the outcome of a run; it is offered again')
    }
    const instead = await this.#once(failureInstead(settlement, why))
    if (!isRefused(instead)) return instead
    logger.error(
      { job: id, run, outcome: settlement.outcome.kind, why },
      'the log keeps refusing the outcome of a run: it is set aside, and its run counts as lost if the log does not record it before the deadline of the run, or within ten minutes',
    )
    this.#aside.add(toKey(settlement))
    void this.#offerNowAndThen(settlement)
    throw new ErrandError('E_LOG', `the log keeps refusing the outcome of job ${id}: ${why}`)
  }

  async #offerNowAndThen(settlement: Settlement): Promise<void> {
    const { clock, logger } = this.#options
    const { signal } = this.#givenUp
    const { id, run } = settlement
    const key = toKey(settlement)
    try {
      for (let offers = 1; ; offers += 1) {
        await clock.sleep(asideMs, signal)
        if (!isRefused(await this.#once(settlement))) break
        if (offers !== mostAsides) continue
        this.#lost.set(key, { id, run })
        logger.error({ job: id, run }, 'a run whose outcome the log keeps refusing is given up as lost')
      }
    } catch {
      // The worker stops. Its lease ends, and the sweep decides about the run.
    }
    this.#aside.delete(key)
    this.#lost.delete(key)
  }

  /** Rejects when the worker has given up. */
  async #once(settlement: Settlement): Promise<Settled | (Refused & { readonly thrown?: boolean })> {
    this.#givenUp.signal.throwIfAborted()
    const [answer] = await this.#untilAnswered([settlement], 1)
    if (answer) return answer
    return { ...settlement, result: 'refused', why: 'the log gave no answer' }
  }

  /** Not awaited: the relay publishes what does not reach the broker, or it is taken from the log. */
  #publish(tickets: readonly Ticket[]): void {
    if (tickets.length > 0) void this.#options.publisher.publish(tickets)
  }

  #passNotesSoon(): void {
    this.#passes ??= this.#passNotes().finally(() => {
      this.#passes = undefined
    })
  }

  async #passNotes(): Promise<void> {
    const { log, clock, logger } = this.#options
    for (let tries = 1; tries <= passNotesTries && !this.#passing.signal.aborted; tries += 1) {
      await clock.sleep(passNotesMs * 2 ** (tries - 1), this.#passing.signal)
      try {
        const tickets = await log.passNotes(passNotesLimit)
        this.#publish(tickets)
        if (tickets.length > 0) return
      } catch (error) {
        logger.warn({ err: error }, 'ordering keys were not passed on; the next sweep does it')
        return
      }
    }
  }
}

function isRefused(answer: Settled | Refused): answer is Refused {
  return answer.result === 'refused'
}

/** The log threw without naming it, and the call held only this settlement. */
function refusedBy({ id, run }: Fence, error: ErrandError): Refused & { readonly thrown: boolean } {
  return { id, run, result: 'refused', why: error.message, thrown: true }
}

/** A failure that says why is better than a run that never ends. */
function failureInstead({ id, run, durationMs, outcome }: Settlement, why: string): Settlement {
  const message = `the log refused the outcome '${outcome.kind}' of this run: ${why}`
  const error = { codec: 'json', text: JSON.stringify({ name: 'ErrandError', message, code: 'E_LOG' }) }
  return { id, run, durationMs, outcome: { kind: 'fail', error, cause: 'error' } }
}

/** The weight of a settlement in a statement: the text that it carries, and some for the rest. */
function weigh({ outcome }: Settlement): number {
  const text =
    'error' in outcome ? outcome.error.text : 'result' in outcome ? outcome.result?.text : undefined
  return 200 + (text?.length ?? 0)
}

function settleIn(
  trips: RoundTrips,
  settlements: readonly Settlement[],
  passingOn: ReadonlySet<QueueName>,
  ref: WorkerRef,
): Promise<readonly (Settled | Refused)[]> {
  if (!isObserved('settle')) return trips.settle(settlements, passingOn)
  return trace('settle', { worker: ref.id, settlements }, async (context) => {
    const settled = await trips.settle(settlements, passingOn)
    context.settled = settled
    return settled
  })
}
