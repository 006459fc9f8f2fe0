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
import { jittered } from '../../supervise.ts'
import type { WorkerTrips } from '../../ports/driver.ts'
import { TicketClaims } from './ticket-claims.ts'

export interface PoolParts {
  readonly deps: WorkerDeps
  readonly ref: WorkerRef
  readonly gate: PauseGate
  readonly runs: Runs
  readonly runner: Runner
  readonly trips: WorkerTrips
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

/** How long a full queue is left alone, unless a job of it ends here; and if one has ended since it was last full. */
const fullMs = 5_000
const fullAgainMs = 50

/** Slots, and the queues that share them: one subscription for all, if the driver can do so, or else one each. */
export class Pool {
  readonly #queues: readonly QueueName[]
  readonly #parts: PoolParts
  readonly #demand: Demand
  readonly #claims: TicketClaims
  #feeds: readonly Feed[]
  #paused: readonly QueueName[] = []
  /** Queues whose limits left no place, each with what ends its wait. */
  readonly #full = new Map<QueueName, () => void>()
  /** Queues of which a job has ended here since they were full last. */
  readonly #ended = new Set<QueueName>()
  /** Aborts when the driver has moved and other feeds take over. */
  #period = new AbortController()

  constructor(queues: readonly QueueName[], size: number, parts: PoolParts) {
    this.#queues = queues
    this.#parts = parts
    const { clock, logger } = parts.deps
    this.#demand = new Demand(size, clock, parts.ahead, parts.allowance)
    this.#claims = new TicketClaims({
      ...parts,
      demand: this.#demand,
      clock,
      logger,
      full: (queue) => this.full(queue),
    })
    this.#feeds = this.#makeFeeds()
  }

  get feeds(): readonly Feed[] {
    return this.#feeds
  }

  /**
   * Queues that have no subscription, or one that brings nothing although slots are free. Their overdue jobs are taken from
   * the log and not published again.
   */
  get quiet(): readonly QueueName[] {
    return this.#feeds.filter((feed) => feed.bringsNothing).flatMap((feed) => feed.open)
  }

  /** These queues are paused, and no others. */
  pause(paused: readonly QueueName[]): void {
    this.#paused = paused
    this.#close()
  }

  /**
   * The queue's limit leaves no place: nothing is asked for until a job of it has ended here, or for some seconds. If one has ended
   * since, the answer may be older than that end, and it looks once more soon.
   */
  full(queue: QueueName): void {
    if (!this.#queues.includes(queue) || this.#full.has(queue)) return
    const waitMs = jittered(this.#ended.delete(queue) ? fullAgainMs : fullMs)
    this.#full.set(
      queue,
      this.#parts.deps.clock.after(waitMs, () => this.#reopen(queue)),
    )
    this.#close()
  }

  /** A job of the queue has ended here. */
  ended(queue: QueueName): void {
    if (this.#full.has(queue)) this.#reopen(queue)
    else if (this.#queues.includes(queue)) this.#ended.add(queue)
  }

  #reopen(queue: QueueName): void {
    this.#full.get(queue)?.()
    this.#full.delete(queue)
    this.#close()
  }

  /** The feeds serve the queues that are neither paused nor full. */
  #close(): void {
    for (const feed of this.#feeds) feed.pause([...this.#paused, ...this.#full.keys()])
  }

  /** How many tickets each of its queues takes at a time: `slots` of a heartbeat. */
  get takes(): Readonly<Record<QueueName, number>> {
    const { takes } = this.#demand.slots
    return Object.fromEntries(this.#queues.map((queue) => [queue, takes]))
  }

  get prefetched(): number {
    return this.#demand.slots.prefetched
  }

  /** Ends when the signal aborts and every ticket has been handed back. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, driver, logger, route } = this.#parts.deps
    const { slots } = this.#demand
    if (stop.aborted) slots.close()
    else stop.addEventListener('abort', () => slots.close(), { once: true })
    const forget = route.onChange(() => {
      if (this.#isRegrouped) this.#period.abort()
    })
    const loops = [this.#feed(stop)]
    const overdue = new LogSubscription({
      ...this.#parts,
      feeds: () => this.#feeds,
      demand: this.#demand,
      // The driver may move while this pool runs.
      isNeeded: () => driver.capabilities.delivers === 'tickets',
      clock,
      logger,
    })
    loops.push(overdue.run(stop))
    await Promise.all(loops)
    forget()
    for (const cancel of this.#full.values()) cancel()
    await this.#claims.idle()
  }

  async #feed(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      if (this.#isRegrouped) {
        this.#feeds = this.#makeFeeds()
        this.#close()
      }
      this.#period = new AbortController()
      const over = AbortSignal.any([stop, this.#period.signal])
      await Promise.all(this.#feeds.map((feed) => feed.run(over)))
    }
  }

  /** While the system moves from or to a driver that takes from one queue at a time, each queue has a feed of its own. */
  get #isRegrouped(): boolean {
    return this.#groups().length !== this.#feeds.length
  }

  #groups(): readonly (readonly QueueName[])[] {
    return this.#parts.deps.driver.subscribeMany ? [this.#queues] : this.#queues.map((queue) => [queue])
  }

  #makeFeeds(): readonly Feed[] {
    const { driver, clock, log, logger } = this.#parts.deps
    const started = (): void => void log.notify(['events']).catch(() => undefined)
    const shared = {
      ...this.#parts,
      driver,
      clock,
      logger,
      started,
      demand: this.#demand,
      claims: this.#claims,
      full: (queues: readonly QueueName[]): void => queues.forEach((queue) => this.full(queue)),
    }
    return this.#groups().map((queues) => new Feed({ ...shared, queues }))
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
