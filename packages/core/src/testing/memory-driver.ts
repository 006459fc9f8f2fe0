import { randomUUID } from 'node:crypto'
import { buildDriver } from '../driver-kit/build-driver.ts'
import type { PullSource, SourceMessage } from '../driver-kit/message-source.ts'
import { PullSubscription } from '../driver-kit/pull-subscription.ts'
import { encodeTicket } from '../driver-kit/ticket-text.ts'
import { lanes } from '../job/lane.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Driver, DriverFactory } from '../ports/driver.ts'
import { waitFor } from '../wait.ts'

/** A broker in this process's memory. */
class MemoryBroker {
  readonly #tickets = new Map<QueueName, Ticket[]>()
  readonly #waiting = new Set<{ readonly queue: QueueName; readonly wake: () => void }>()

  add(ticket: Ticket): void {
    const tickets = this.#tickets.get(ticket.queue)
    if (tickets) tickets.push(ticket)
    else this.#tickets.set(ticket.queue, [ticket])
    for (const waiter of this.#waiting) if (waiter.queue === ticket.queue) waiter.wake()
  }

  /** The first tickets, highest lane first, then in the order in which they came; so many from the lowest lane instead. */
  take(queue: QueueName, max: number, fromLowest: number): Ticket[] {
    const tickets = this.#tickets.get(queue) ?? []
    const byLane = lanes.map((lane) => tickets.filter((ticket) => ticket.lane === lane))
    const lowest = byLane.toReversed().flat().slice(0, fromLowest)
    const highest = byLane.flat().filter((ticket) => !lowest.includes(ticket))
    const chosen = new Set([...lowest, ...highest].slice(0, max))
    const taken = byLane.flat().filter((ticket) => chosen.has(ticket))
    this.#tickets.set(
      queue,
      tickets.filter((ticket) => !taken.includes(ticket)),
    )
    return taken
  }

  depth(queue: QueueName): number {
    return this.#tickets.get(queue)?.length ?? 0
  }

  purge(queue: QueueName): void {
    this.#tickets.delete(queue)
  }

  async arrival(queue: QueueName, signal: AbortSignal): Promise<void> {
    await waitFor<void>(signal, undefined, (wake) => {
      const waiter = { queue, wake }
      this.#waiting.add(waiter)
      return () => this.#waiting.delete(waiter)
    })
  }
}

/** One queue of it, as a source of messages. */
class MemorySource implements PullSource<Ticket> {
  readonly name: QueueName
  readonly #broker: MemoryBroker

  constructor(broker: MemoryBroker, queue: QueueName) {
    this.#broker = broker
    this.name = queue
  }

  async take(max: number, fromLowest: number): Promise<SourceMessage<Ticket>[]> {
    const tickets = this.#broker.take(this.name, max, fromLowest)
    return tickets.map((ticket) => ({ text: encodeTicket(ticket), handle: ticket }))
  }

  arrival(signal: AbortSignal): Promise<void> {
    return this.#broker.arrival(this.name, signal)
  }

  async ack(): Promise<void> {}

  async release(ticket: Ticket): Promise<void> {
    this.#broker.add(ticket)
  }
}

/**
 * The reference driver: a broker in this process's memory, for tests. Every driver that one factory opens shares it.
 * @example const errand = createErrand({ log: memoryLog(), driver: memoryDriver() })
 */
export function memoryDriver(): DriverFactory {
  const broker = new MemoryBroker()
  return {
    errand: 'driver',
    name: 'memory',
    place: randomUUID().slice(0, 8),
    open: ({ logger }) => openDriver(broker, logger),
  }
}

function openDriver(broker: MemoryBroker, logger: Logger): Driver {
  return buildDriver({
    name: 'memory',
    capabilities: { delivers: 'tickets', depth: 'exact' },
    async publish(tickets) {
      for (const ticket of tickets) broker.add({ ...ticket })
      return { accepted: tickets, refused: [] }
    },
    subscribe: async (queue) =>
      new PullSubscription({ driver: 'memory', queue, source: new MemorySource(broker, queue), logger }),
    depth: async (queue) => broker.depth(queue),
    purge: async (queue) => broker.purge(queue),
  })
}
