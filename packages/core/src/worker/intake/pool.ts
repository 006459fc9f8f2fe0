import { workerDefaults } from '../../config/defaults.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { WorkerRef } from '../../job/claim.ts'
import type { Allowance } from './allowance.ts'
import { Demand } from './demand.ts'
import type { WorkerDeps } from '../deps.ts'
import { Feed } from './feed.ts'
import type { PauseGate } from './pause-gate.ts'
import type { Grants } from './grants.ts'
import type { HookRunner } from '../run/hooks.ts'
import { LogSubscription } from './log-subscription.ts'
import type { Runner } from '../run/runner.ts'
import type { Runs } from '../run/runs.ts'
import type { Service } from './service.ts'
import { TicketClaims } from './ticket-claims.ts'

export interface PoolParts {
  readonly deps: WorkerDeps
  readonly ref: WorkerRef
  readonly gate: PauseGate
  readonly runs: Runs
  readonly runner: Runner
  readonly grants: Grants
  readonly hooks: HookRunner
  readonly leaseOut: () => void
  /** A subscription that was lost is back. */
  readonly resubscribed: (queue: QueueName) => void
  readonly service: Service
  /** Whether brief jobs may be granted ahead of a slot. */
  readonly ahead: boolean
  /** What the whole worker may still begin, where that is limited. */
  readonly allowance: Allowance | undefined
}

/** Slots, and the queues that share them: one subscription each. */
export class Pool {
  readonly feeds: readonly Feed[]
  readonly #parts: PoolParts
  readonly #demand: Demand
  readonly #claims: TicketClaims

  constructor(queues: readonly QueueName[], size: number, parts: PoolParts) {
    this.#parts = parts
    const { deps } = parts
    const { clock, driver, log, logger } = deps
    const started = (): void => void log.notify(['events']).catch(() => undefined)
    this.#demand = new Demand(size, clock, parts.ahead, parts.allowance)
    this.#claims = new TicketClaims({ ...parts, demand: this.#demand, clock, logger })
    this.feeds = queues.map(
      (queue) =>
        new Feed({
          ...parts,
          queue,
          driver,
          clock,
          logger,
          started,
          demand: this.#demand,
          claims: this.#claims,
        }),
    )
  }

  /** Queues whose subscriptions bring nothing although slots are free. Their overdue jobs are taken from the log. */
  get quiet(): readonly QueueName[] {
    const quiet = this.feeds.filter((feed) => !feed.paused && feed.quietMs >= workerDefaults.quietMs)
    return quiet.map((feed) => feed.queue)
  }

  get prefetched(): number {
    return this.#demand.slots.prefetched
  }

  /** Ends when the signal aborts and every ticket has been handed back. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, driver, logger } = this.#parts.deps
    const { slots } = this.#demand
    if (stop.aborted) slots.close()
    else stop.addEventListener('abort', () => slots.close(), { once: true })
    const loops = this.feeds.map((feed) => feed.run(stop))
    const overdue = new LogSubscription({
      ...this.#parts,
      feeds: this.feeds,
      demand: this.#demand,
      // The driver may move while this pool runs.
      isNeeded: () => driver.capabilities.delivers === 'tickets',
      clock,
      logger,
    })
    loops.push(overdue.run(stop))
    await Promise.all(loops)
    await this.#claims.idle()
  }
}

/** One pool for each queue with a number of its own, and one for the rest. */
export function poolSizes(
  queues: readonly QueueName[],
  concurrency: Readonly<Record<QueueName, number>>,
): readonly { readonly queues: readonly QueueName[]; readonly size: number }[] {
  const own = queues.filter((queue) => Object.hasOwn(concurrency, queue))
  const rest = queues.filter((queue) => !Object.hasOwn(concurrency, queue))
  const pools = own.map((queue) => ({ queues: [queue], size: concurrency[queue] ?? 1 }))
  return rest.length === 0 ? pools : [...pools, { queues: rest, size: concurrency['*'] ?? 1 }]
}
