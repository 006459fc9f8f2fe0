import { workerDefaults } from '../../config/defaults.ts'
import { ErrandError, isErrandError, toError } from '../../errors.ts'
import { toFailure } from '../../failure/to-failure.ts'
import type { WorkerRef } from '../../job/claim.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Delivery, Driver, Subscription, WorkerTrips } from '../../ports/driver.ts'
import { jittered, supervised } from '../../supervise.ts'
import type { Ask, Demand, Line } from './demand.ts'
import { describeQueues } from '../../describe-queues.ts'
import { PauseGate } from './pause-gate.ts'
import type { HookRunner } from '../run/hooks.ts'
import type { Runner } from '../run/runner.ts'
import type { Runs } from '../run/runs.ts'
import type { Seats } from './seats.ts'
import type { Service } from './service.ts'

/** Turns tickets into runs. */
interface TicketClaimer {
  /** How many tickets to ask for to get `max` jobs: some tickets turn out stale. */
  demandFor(queue: QueueName, max: number): number
  /** Claims the jobs of these tickets, and begins them in these seats. */
  claim(queue: QueueName, deliveries: readonly Delivery[], seats: Seats): Promise<void>
}

export interface FeedParts {
  /** One, or all of a pool if the driver takes for many at a time. */
  readonly queues: readonly QueueName[]
  readonly driver: Pick<Driver, 'subscribe' | 'subscribeMany'>
  readonly ref: WorkerRef
  readonly demand: Demand
  /** The worker's. */
  readonly gate: PauseGate
  readonly runs: Runs
  readonly runner: Runner
  readonly trips: WorkerTrips
  readonly claims: TicketClaimer
  readonly hooks: HookRunner
  readonly clock: Clock
  readonly logger: Logger
  /** The log refused a grant because the lease is out. */
  readonly leaseOut: () => void
  /** The limits of these queues leave no place. */
  readonly full: (queues: readonly QueueName[]) => void
  /** Jobs were started: followers of events must look. */
  readonly started: () => void
  /** A subscription that was lost is back. */
  readonly resubscribed: (queue: QueueName) => void
  readonly service: Service
}

/** How long to wait when the `looping` hook says to skip a pass. */
const skippedPassMs = 1_000
/** After this many empty answers in a row that nobody asked for, the subscription counts as lost. */
const emptyAnswers = 3
const emptyAnswerMs = 100

/**
 * Brings the jobs of one subscription. It asks it for as many as there are free slots, has them claimed, and starts them.
 */
export class Feed {
  readonly #parts: FeedParts
  readonly #gate: PauseGate
  readonly #begun = Promise.withResolvers<void>()
  /** Those that are not paused. Another array once they are others. */
  #open: readonly QueueName[]
  #connected = false
  /** Jobs that the ask under way has slots for. */
  #wanted = 0
  #trouble: string | undefined
  #lost = false
  #deliveredMs: number
  readonly #claiming = new Set<Promise<void>>()
  /** Why the last claim failed, if not because of the lease. */
  #failure: Error | undefined

  constructor(parts: FeedParts) {
    this.#parts = parts
    this.#open = parts.queues
    this.#gate = new PauseGate(parts.gate)
    this.#deliveredMs = parts.clock.monotonicMs()
  }

  /** Resolves when it has subscribed, could not at its first try, or is paused. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  /** Why it does not ask for jobs, if it does not. A pause is no trouble. */
  get trouble(): string | undefined {
    if (this.paused || this.#connected) return undefined
    return this.#trouble ?? `${describeQueues(this.#open)}: not subscribed yet`
  }

  /** The queues that it serves now: none while all are paused. */
  get open(): readonly QueueName[] {
    return this.#open
  }

  get paused(): boolean {
    return this.#open.length === 0
  }

  /**
   * How long it has brought nothing although slots were free. While all slots are taken it cannot bring anything: what
   * waits then has its ticket, and its turn by lane.
   */
  get quietMs(): number {
    const { clock, demand } = this.#parts
    return Math.min(clock.monotonicMs() - this.#deliveredMs, demand.roomMs)
  }

  /** It has no subscription, or one that has been quiet for long. */
  get bringsNothing(): boolean {
    return this.trouble !== undefined || this.quietMs >= workerDefaults.quietMs
  }

  /** Closes the subscription and opens one for the queues that are not paused, if any are left. */
  pause(paused: readonly QueueName[]): void {
    const open = this.#parts.queues.filter((queue) => !paused.includes(queue))
    // They keep their order, so as many are the same ones unless one was paused as another was resumed.
    if (open.length === this.#open.length && open.every((queue, at) => queue === this.#open[at])) return
    this.#open = open
    // It ends the ask under way.
    this.#gate.shut('paused', 'its queues are paused')
    if (this.paused) this.#begun.resolve()
    else this.#gate.clear('paused')
  }

  /** Ends when the signal aborts, and hands back what it has. */
  async run(stop: AbortSignal): Promise<void> {
    const { demand, clock, logger, service } = this.#parts
    const line = demand.join()
    this.#gate.join()
    this.#gate.clear('over')
    // An ask that waits for jobs ends as well: nobody else wants its slots by then.
    stop.addEventListener('abort', () => this.#gate.shut('over', 'the feed has ended'), { once: true })
    const { resubscribeMinMs: minMs, resubscribeMaxMs: maxMs } = workerDefaults
    await supervised((healthy) => this.#subscribed(line, stop, healthy), {
      what: `the subscription of ${describeQueues(this.#parts.queues)}`,
      signal: stop,
      clock,
      logger,
      minMs,
      maxMs,
      failed: (trouble) => service.failed(this.#parts.queues, trouble),
    })
    this.#begun.resolve()
    demand.leave(line)
    this.#gate.leave()
  }

  async #subscribed(line: Line, stop: AbortSignal, healthy: () => void): Promise<void> {
    const { logger, service, resubscribed } = this.#parts
    await this.#gate.opened(stop)
    if (stop.aborted) return
    this.#failure = undefined
    const queues = this.#open
    let subscription: Subscription | undefined
    try {
      subscription = await this.#subscribe(queues)
      this.#connected = true
      service.subscribed(this.#parts.queues)
      if (this.#lost) for (const queue of queues) resubscribed(queue)
      this.#lost = false
      this.#begun.resolve()
      await this.#serve(subscription, queues, line, stop, healthy)
    } catch (error) {
      this.#trouble = `${describeQueues(queues)}: ${toFailure(error).message}`
      this.#lost = true
      throw error
    } finally {
      this.#connected = false
      this.#begun.resolve()
      // Jobs that were granted and no longer begin go back first.
      await Promise.all(this.#claiming)
      await subscription?.close().catch((error: unknown) => {
        logger.warn({ err: error, queues }, 'a subscription did not close cleanly')
      })
    }
  }

  #subscribe(queues: readonly QueueName[]): Promise<Subscription> {
    const { driver, ref, trips, full } = this.#parts
    const options = { worker: ref, mostClaims: () => this.#wanted, trips, full }
    const [queue] = this.#parts.queues
    if (queue !== undefined && this.#parts.queues.length === 1) return driver.subscribe(queue, options)
    if (driver.subscribeMany) return driver.subscribeMany(queues, options)
    throw new ErrandError('E_DRIVER', 'the driver takes from one queue at a time')
  }

  /** Until other queues are open or the signal aborts. */
  async #serve(
    subscription: Subscription,
    queues: readonly QueueName[],
    line: Line,
    stop: AbortSignal,
    healthy: () => void,
  ): Promise<void> {
    const { demand, hooks, runs, ref, clock } = this.#parts
    let empty = 0
    // oxlint-disable-next-line no-unmodified-loop-condition -- a pause changes it
    while (!stop.aborted && queues === this.#open) {
      await this.#gate.opened(stop)
      if (stop.aborted || queues !== this.#open) return
      if (this.#failure) throw this.#failure
      const ask = await demand.ask(line, this.#gate.signal)
      if (!ask) continue
      let received = 0
      try {
        if (!(await hooks.looping({ worker: ref.id, free: ask.max }))) {
          await clock.sleep(jittered(skippedPassMs), ask.signal)
          continue
        }
        received = await runs.asking(async () => {
          const max = this.#parts.claims.demandFor(queues[0]!, ask.max)
          this.#wanted = ask.max
          const deliveries = await subscription.next(max, ask.signal)
          return this.#receive(deliveries, queues[0]!, ask)
        })
        empty = received > 0 || ask.signal.aborted ? 0 : empty + 1
        healthy()
      } catch (error) {
        if (!isErrandError(error, 'E_LEASE_OUT')) throw error
        this.#parts.leaseOut()
      } finally {
        ask.done(received)
      }
      if (empty >= emptyAnswers) {
        throw new ErrandError(
          'E_DRIVER',
          `the subscription of ${describeQueues(queues)} answers at once, with no delivery`,
        )
      }
      if (empty > 0) await clock.sleep(jittered(emptyAnswerMs), stop)
    }
  }

  /** Starts what is granted. Returns how many deliveries came. */
  #receive(deliveries: readonly Delivery[], queue: QueueName, ask: Ask): number {
    if (deliveries.length === 0) return 0
    const { runner, clock, started } = this.#parts
    this.#deliveredMs = clock.monotonicMs()
    const granted = deliveries.flatMap((delivery) => delivery.granted ?? [])
    // It may be more than were asked for: the answer to an old request is repeated.
    using seats = ask.reserve(granted.length)
    for (const claim of granted) runner.start(claim, seats)
    if (granted.length > 0) started()
    const tickets = deliveries.filter((delivery) => !delivery.granted)
    const wanted = tickets.filter(({ extra }) => extra !== true)
    if (tickets.length > 0) this.#claim(queue, tickets, ask.reserve(Math.min(wanted.length, ask.max)))
    return deliveries.length
  }

  /**
   * Not awaited: the next tickets are asked for at the same time. They are claimed together when this claim is
   * answered.
   */
  #claim(queue: QueueName, tickets: readonly Delivery[], seats: Seats): void {
    const { claims, runs, leaseOut, started } = this.#parts
    const claiming = runs
      .asking(() => claims.claim(queue, tickets, seats))
      .then(started)
      .catch((error: unknown) => {
        if (isErrandError(error, 'E_LEASE_OUT')) leaseOut()
        else this.#failure ??= toError(error)
      })
      .finally(() => this.#claiming.delete(claiming))
    this.#claiming.add(claiming)
  }
}
