import { batcher } from '../batching.ts'
import type { Batcher } from '../batching.ts'
import type { Settings } from '../config/defaults.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import { isErrandError } from '../errors.ts'
import type { WorkerRef } from '../job/claim.ts'
import type { Settled, Settlement } from '../job/outcome.ts'
import type { Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { JobLog } from '../ports/job-log.ts'
import { backoffMs } from '../supervise.ts'

export interface SettlerOptions {
  readonly log: JobLog
  readonly ref: WorkerRef
  readonly publisher: Publisher
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Pick<Settings, 'batchItems' | 'batchBytes'>
}

const retryMinMs = 50
const retryMaxMs = 5_000
/** Keys whose row was locked are tried so often, then left to the sweep. */
const passKeysTries = 5
const passKeysMs = 10
const passKeysLimit = 500

/**
 * Records outcomes, in natural batches. A settlement is offered until the log has answered it: the lease may be out and
 * the log down, but only the fence decides whether a run counts.
 */
export class Settler {
  readonly #options: SettlerOptions
  readonly #batcher: Batcher<Settlement, Settled>
  readonly #givenUp = new AbortController()
  readonly #passing = new AbortController()
  #passes: Promise<void> | undefined

  constructor(options: SettlerOptions) {
    this.#options = options
    this.#batcher = batcher({
      run: (settlements) => this.#untilAnswered(settlements),
      maxItems: options.settings.batchItems,
      maxWeight: options.settings.batchBytes,
      weigh: bytesOf,
      // The next jobs are asked for first: handlers wait for those, and nobody for this.
      late: true,
    })
  }

  /** Outcomes that the log has not answered yet. */
  get waiting(): number {
    return this.#batcher.size
  }

  /** Rejects only when the worker has given up waiting for the log. */
  settle(settlement: Settlement): Promise<Settled> {
    return this.#batcher.add(settlement)
  }

  /** Offers no longer: what is unanswered is judged by the sweep, once the lease is out. */
  giveUp(): void {
    this.#givenUp.abort()
  }

  async close(): Promise<void> {
    await this.#batcher.close()
    this.#passing.abort()
    await this.#passes
  }

  async #untilAnswered(settlements: readonly Settlement[]): Promise<readonly Settled[]> {
    const { log, ref, clock, logger } = this.#options
    for (let failures = 0; ;) {
      try {
        const settled = await log.settle(settlements, ref)
        // Not awaited: whoever follows polls as well.
        void log.notify(['events']).catch(() => undefined)
        this.#publish(settled.flatMap(({ tickets }) => tickets))
        if (settled.some(({ keyPending }) => keyPending)) this.#passKeysSoon()
        return settled
      } catch (error) {
        failures += 1
        if (this.#givenUp.signal.aborted || isErrandError(error, 'E_CLOSED')) throw error
        const waitMs = Math.round(backoffMs(failures, retryMinMs, retryMaxMs))
        logger.warn(
          { err: error, count: settlements.length, failures, waitMs },
          'the log did not record outcomes; they are offered again',
        )
        await clock.sleep(waitMs, this.#givenUp.signal)
      }
    }
  }

  /** Not awaited: whatever does not reach the broker is published by the relay, or taken from the log. */
  #publish(tickets: readonly Ticket[]): void {
    if (tickets.length > 0) void this.#options.publisher.publish(tickets)
  }

  #passKeysSoon(): void {
    this.#passes ??= this.#passKeys().finally(() => {
      this.#passes = undefined
    })
  }

  async #passKeys(): Promise<void> {
    const { log, clock, logger } = this.#options
    for (let tries = 1; tries <= passKeysTries && !this.#passing.signal.aborted; tries += 1) {
      await clock.sleep(passKeysMs * 2 ** (tries - 1), this.#passing.signal)
      try {
        const tickets = await log.passKeys(passKeysLimit)
        this.#publish(tickets)
        if (tickets.length > 0) return
      } catch (error) {
        logger.warn({ err: error }, 'ordering keys were not passed on; the next sweep does it')
        return
      }
    }
  }
}

/** What a settlement weighs in a statement: the text that it carries, and some for the rest. */
function bytesOf({ outcome }: Settlement): number {
  const text =
    'error' in outcome ? outcome.error.text : 'result' in outcome ? outcome.result?.text : undefined
  return 200 + (text?.length ?? 0)
}
