import { workerDefaults } from '../../config/defaults.ts'
import { isErrandError } from '../../errors.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import { jittered, supervised } from '../../supervise.ts'
import type { Demand } from './demand.ts'
import type { PauseGate } from './pause-gate.ts'
import type { Grants } from './grants.ts'
import type { Runner } from '../run/runner.ts'
import type { Runs } from '../run/runs.ts'

/** Queues that are fed by a broker. */
export interface FedQueues {
  /** Those that are not paused. */
  readonly open: readonly QueueName[]
  /** How long the broker has brought nothing although slots were free. */
  readonly quietMs: number
}

export interface LogSubscriptionParts {
  readonly feeds: () => readonly FedQueues[]
  readonly grants: Grants
  readonly demand: Demand
  readonly gate: PauseGate
  readonly runs: Runs
  readonly runner: Runner
  /** False while the driver in use delivers claims: then no job waits for a ticket. */
  readonly isNeeded: () => boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly leaseOut: () => void
}

/** The longest wait before it looks whether a subscription has gone quiet. */
const lookMs = 1_000

/**
 * Takes overdue jobs straight from the log: jobs that are ready and that no ticket has fetched. It takes one slot's
 * worth every ten seconds, and all that there is room for while a subscription brings nothing. So no other rule is
 * needed for a broker that is down, wiped or blocked.
 */
export class LogSubscription {
  readonly #parts: LogSubscriptionParts

  constructor(parts: LogSubscriptionParts) {
    this.#parts = parts
  }

  /** Ends when the signal aborts. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts
    await supervised(() => this.#loop(stop), {
      what: 'taking overdue jobs from the log',
      signal: stop,
      clock,
      logger,
      minMs: lookMs,
      maxMs: workerDefaults.overdueEveryMs,
    })
  }

  async #loop(stop: AbortSignal): Promise<void> {
    const { feeds, clock, gate, isNeeded } = this.#parts
    const { overdueEveryMs, quietMs } = workerDefaults
    let dueMs = clock.monotonicMs() + jittered(overdueEveryMs)
    const lookedMs = new WeakMap<FedQueues, number>()
    while (!stop.aborted) {
      await gate.opened(stop)
      if (!isNeeded()) {
        await clock.sleep(jittered(lookMs), stop)
        continue
      }
      const now = clock.monotonicMs()
      const open = feeds().filter((feed) => feed.open.length > 0)
      const quiet = open.filter(
        (feed) => Math.min(feed.quietMs, now - (lookedMs.get(feed) ?? -Infinity)) >= quietMs,
      )
      if (quiet.length > 0) await this.#takeAll(quiet, stop)
      for (const feed of quiet) lookedMs.set(feed, clock.monotonicMs())
      if (now >= dueMs) {
        await this.#take(open, 1, stop)
        dueMs = clock.monotonicMs() + jittered(overdueEveryMs)
      }
      await clock.sleep(Math.max(1, Math.min(jittered(lookMs), dueMs - clock.monotonicMs())), stop)
    }
  }

  /** Goes on while something is overdue. */
  async #takeAll(feeds: readonly FedQueues[], stop: AbortSignal): Promise<void> {
    const { demand, gate } = this.#parts
    while (gate.isOpen && !stop.aborted) {
      if ((await this.#take(feeds, demand.slots.size, stop)) === 0) return
    }
  }

  async #take(feeds: readonly FedQueues[], max: number, stop: AbortSignal): Promise<number> {
    if (feeds.length === 0) return 0
    const granted = await this.#start(feeds, max, stop)
    if (granted > 0) this.#parts.demand.rebalance()
    return granted
  }

  /** Returns how many were granted. */
  async #start(feeds: readonly FedQueues[], max: number, stop: AbortSignal): Promise<number> {
    const { demand, gate, grants, runs, runner, leaseOut } = this.#parts
    using seats = await demand.borrow(max, AbortSignal.any([stop, gate.signal]))
    if (seats.left === 0 || !gate.isOpen || stop.aborted) return 0
    try {
      return await runs.asking(async () => {
        const claims = await grants.takeOverdue(listNames(feeds), seats.left)
        for (const claim of claims) runner.start(claim, seats)
        return claims.length
      })
    } catch (error) {
      if (!isErrandError(error, 'E_LEASE_OUT')) throw error
      leaseOut()
      return 0
    }
  }
}

function listNames(feeds: readonly FedQueues[]): QueueName[] {
  return feeds.flatMap((feed) => feed.open)
}
