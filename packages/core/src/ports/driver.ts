import type { Claim, RequestId, WorkerRef } from '../job/claim.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from './clock.ts'
import type { JobLog, TakeOptions } from './job-log.ts'

/** What a driver can do, as data. A missing capability is refused early and never faked. */
export interface DriverCapabilities {
  /**
   * `tickets`: a broker between dispatcher and worker. The relay publishes tickets again that no worker fetched.
   * `claims`: deliveries come straight from the log and are already granted, so there is nothing to republish.
   */
  readonly delivers: 'tickets' | 'claims'
  /** How far `depth` can be trusted. */
  readonly depth: 'exact' | 'approximate' | 'unknown'
  /** It puts several tickets of one lane into one message, where `ticketsPerMessage` allows it. Default false. */
  readonly packs?: boolean | undefined
  /**
   * Its subscriptions listen to the log's wake-ups of their queues (`LaneIdling` of the kit), so core wakes a queue whenever
   * it publishes tickets of it. Default false.
   */
  readonly wakes?: boolean | undefined
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /**
   * How many tickets one message may carry at most, where `count` tickets of one lane of this queue are published together.
   * Default: one.
   */
  readonly ticketsPerMessage?: ((queue: QueueName, count: number) => number) | undefined
}

/** What happened to the tickets. A ticket in neither list is *unknown*: it may be on the broker. */
export interface PublishReport {
  /** Durably accepted by the broker. */
  readonly accepted: readonly Ticket[]
  /** Refused by the broker, with the reason. */
  readonly refused: readonly { readonly ticket: Ticket; readonly why: string }[]
}

export interface SubscribeOptions {
  readonly worker: WorkerRef
  /**
   * How many jobs the worker can begin now. It may ask for more tickets than that, because some are stale. A claim is
   * never stale, so core asks a driver that delivers claims for no more.
   */
  readonly mostClaims?: (() => number) | undefined
  /** For drivers that deliver claims: the worker's way to the log. Default: the log itself. */
  readonly trips?: WorkerTrips | undefined
  /** For drivers that deliver claims: what they hand to `take` as its option `full`. Core then closes the subscription. */
  readonly full?: ((queues: readonly QueueName[]) => void) | undefined
}

/** A worker's round trips to its log. A request for jobs may share one with the outcomes of that worker. */
export interface WorkerTrips {
  /** As the log's. It goes with the outcomes that wait in the same turn of the event loop, if there are any and the log can do that. */
  take(
    queues: readonly QueueName[],
    max: number,
    request: RequestId,
    options?: TakeOptions,
  ): Promise<readonly Claim[]>
  /**
   * Calls back before outcomes go that may make a job of a queue ready: the next one of an ordering key. What is asked for in the
   * same turn goes with them, and may be granted that job. Returns a function that ends it.
   */
  listen(woken: (queue: QueueName) => void): () => void
}

/** Moves tickets. It knows nothing of states, attempts or payloads, and decides nothing. */
export interface Driver {
  /** Version of this interface. */
  readonly port: 1
  readonly name: string
  readonly capabilities: DriverCapabilities
  /** Resolves with the tickets that the broker has accepted and refused. A lost connection throws `E_DRIVER`. */
  publish(tickets: readonly Ticket[], call?: CallOptions): Promise<PublishReport>
  /**
   * Why the broker takes no tickets at present, such as a lack of memory, and what to do; undefined if it takes them.
   * It may send a message that nobody gets. Rejects if the broker cannot be asked. Leave it out if the broker never refuses.
   */
  refusal?(): Promise<string | undefined>
  /** One subscription per queue and process; pausing a queue closes it. */
  subscribe(queue: QueueName, options: SubscribeOptions): Promise<Subscription>
  /**
   * One subscription for all these queues, which share the slots of the worker: one request asks for the jobs of all. Each
   * queue that has jobs gets its share of what is asked for. Pausing one of them closes it, and another is opened for the
   * rest. Only for drivers that deliver claims. Leave it out if that is not cheaper than a subscription each.
   */
  readonly subscribeMany?:
    | ((queues: readonly QueueName[], options: SubscribeOptions) => Promise<Subscription>)
    | undefined
  /**
   * How many messages wait, or undefined if the broker cannot say. Never invent a 0. A message has one ticket, or several
   * where the driver packs.
   */
  depth(queue: QueueName): Promise<number | undefined>
  /** Removes the queue's tickets. The jobs stay in the log. */
  purge(queue: QueueName): Promise<void>
  /** Idempotent: a second caller awaits the same close. */
  close(): Promise<void>
}

export interface Subscription {
  /**
   * At most `max` deliveries, highest lane first, and as `extra` ones the rest of a message that must be delivered whole
   * (see `SourceMessage.redelivered` of the kit). Waits for the first one. Returns `[]` when the signal aborts or the
   * subscription closes. The worker asks for as many as it has free slots. Between calls no delivery is kept longer than
   * 500 ms: then the subscription stops consuming and hands back what it has, so that no ticket waits at a busy worker.
   * A lost connection throws, and the caller subscribes again.
   */
  next(max: number, signal: AbortSignal): Promise<readonly Delivery[]>
  /** Hands back everything that is unacked. Idempotent. */
  close(): Promise<void>
}

/** One hand-over of a ticket to a worker. */
export interface Delivery {
  readonly ticket: Ticket
  /**
   * It was not asked for: it came because its message is delivered whole. Of each lane, core claims only as many jobs as
   * were asked for, and hands the rest back. Default false.
   */
  readonly extra?: boolean | undefined
  /**
   * Set if taking *is* claiming, in one round trip: the database driver. The job then belongs to the worker:
   * `ack` does nothing, and a subscription that closes does not touch it.
   */
  readonly granted?: Claim | undefined
  /** Tells the broker to forget it, with the message when all tickets of it are acked. Called only after the claim has committed. */
  ack(): Promise<void>
  /** Asks the broker to hand it out again, with its whole message: tickets of it that were acked may come again. */
  release(): Promise<void>
}

/** What core passes to a driver when it opens it. */
export interface DriverContext {
  /** Only for drivers that deliver claims or listen to wake-ups. */
  readonly log: JobLog
  readonly logger: Logger
  readonly clock: Clock
}

/** Made by a driver's package from its options; opened by core. Opening does no I/O. */
export interface DriverFactory {
  readonly errand: 'driver'
  readonly name: string
  /**
   * What it reaches, without credentials: `amqp://broker:5672/shop?prefix=errand`. Processes whose drivers have the same
   * name and place share their tickets, so a system can move from one place to another. Default: the name alone.
   */
  readonly place?: string | undefined
  open(context: DriverContext): Driver
}
