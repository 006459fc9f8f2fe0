import type { Claim, WorkerRef } from '../job/claim.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from './clock.ts'
import type { JobLog } from './job-log.ts'

/** What a driver can do, as data: refused early where it is missing, never faked. */
export interface DriverCapabilities {
  /**
   * `tickets`: a broker between dispatcher and worker; the relay publishes again what nobody fetched.
   * `claims`: deliveries come straight from the log and are already granted, so there is nothing to republish.
   */
  readonly delivers: 'tickets' | 'claims'
  /** How far `depth` can be trusted. */
  readonly depth: 'exact' | 'approximate' | 'unknown'
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** What became of the tickets. One that is in neither list is *unknown*: it may be on the broker. */
export interface PublishReport {
  /** Durably accepted by the broker. */
  readonly accepted: readonly Ticket[]
  /** Refused by the broker, with the reason. */
  readonly refused: readonly { readonly ticket: Ticket; readonly why: string }[]
}

export interface SubscribeOptions {
  readonly worker: WorkerRef
  /**
   * How many jobs the worker can begin now. It may ask for more tickets than that, because some turn out stale; a claim is
   * never stale, so core asks a driver that delivers claims for no more.
   */
  readonly mostClaims?: (() => number) | undefined
}

/** Moves tickets. Knows nothing of states, attempts or payloads, and decides nothing. */
export interface Driver {
  /** Version of this interface. */
  readonly port: 1
  readonly name: string
  readonly capabilities: DriverCapabilities
  /** Resolves with what the broker has accepted and what not. A lost connection throws `E_DRIVER`. */
  publish(tickets: readonly Ticket[], call?: CallOptions): Promise<PublishReport>
  /**
   * Why the broker takes no tickets at present, such as for want of memory, with what to do; undefined where it takes them.
   * May send what nobody gets. Rejects where the broker cannot be asked. Left out where a broker never says so.
   */
  refusal?(): Promise<string | undefined>
  /** One subscription per queue and process; pausing a queue closes it. */
  subscribe(queue: QueueName, options: SubscribeOptions): Promise<Subscription>
  /** Tickets waiting, or undefined where the broker cannot say. Never a made-up 0. */
  depth(queue: QueueName): Promise<number | undefined>
  /** Removes the queue's tickets. The jobs stay in the log. */
  purge(queue: QueueName): Promise<void>
  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void>
}

export interface Subscription {
  /**
   * At most `max` deliveries, highest lane first. Waits for the first one; `[]` when the signal aborts or the
   * subscription closes. Demand is the back-pressure: the worker asks for as many as it has free slots. Between calls
   * no delivery is kept longer than 500 ms: then it stops consuming and hands back what it has, so that no ticket is
   * parked on a busy worker. A lost connection throws; the caller subscribes again.
   */
  next(max: number, signal: AbortSignal): Promise<readonly Delivery[]>
  /** Hands back whatever is unacked. Idempotent. */
  close(): Promise<void>
}

/** One hand-over of a ticket to a worker. */
export interface Delivery {
  readonly ticket: Ticket
  /**
   * Set where taking *is* claiming, in one round trip: the database driver. The job is the worker's own from then on:
   * `ack` does nothing, and a subscription that closes leaves it alone.
   */
  readonly granted?: Claim | undefined
  /** The broker may forget it. Called only after the claim has committed. */
  ack(): Promise<void>
  /** The broker shall hand it out again. */
  release(): Promise<void>
}

/** What core hands to a driver when it opens it. */
export interface DriverContext {
  /** For drivers that deliver claims, and nobody else. */
  readonly log: JobLog
  readonly logger: Logger
  readonly clock: Clock
}

/** Made by a driver's package from its options; opened by core. Opening does no I/O. */
export interface DriverFactory {
  readonly errand: 'driver'
  readonly name: string
  /**
   * What it reaches, without credentials: `amqp://broker:5672/shop?prefix=errand`. Processes whose drivers have one name
   * and one place share their tickets, so a system can be moved from one place to another. Default: the name alone.
   */
  readonly place?: string | undefined
  open(context: DriverContext): Driver
}
