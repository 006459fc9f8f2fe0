import { randomUUID } from 'node:crypto'
import { ErrandError } from '../errors.ts'
import { lanes } from '../job/lane.ts'
import { LanePolicy } from '../job/lane-policy.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Delivery, Driver, DriverFactory, Subscription } from '../ports/driver.ts'
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

class MemorySubscription implements Subscription {
  readonly #broker: MemoryBroker
  readonly #queue: QueueName
  readonly #unacked = new Set<Ticket>()
  readonly #closed = new AbortController()
  readonly #lanes = new LanePolicy()

  constructor(broker: MemoryBroker, queue: QueueName) {
    this.#broker = broker
    this.#queue = queue
  }

  async next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const ended = AbortSignal.any([signal, this.#closed.signal])
    while (!ended.aborted) {
      const tickets = this.#broker.take(this.#queue, max, this.#lanes.fromLowest(max))
      this.#lanes.granted(tickets.length)
      if (tickets.length > 0) return tickets.map((ticket) => this.#deliver({ ...ticket }))
      await this.#broker.arrival(this.#queue, ended)
    }
    return []
  }

  #deliver(ticket: Ticket): Delivery {
    this.#unacked.add(ticket)
    return {
      ticket,
      ack: async () => void this.#unacked.delete(ticket),
      release: async () => this.#handBack(ticket),
    }
  }

  #handBack(ticket: Ticket): void {
    if (this.#unacked.delete(ticket)) this.#broker.add(ticket)
  }

  async close(): Promise<void> {
    this.#closed.abort()
    for (const ticket of this.#unacked) this.#handBack(ticket)
  }
}

/**
 * The reference driver: a broker in this process's memory, for tests. Every driver that one factory opens shares it.
 * @example const errand = createErrand({ log: memoryLog(), driver: memoryDriver() })
 */
export function memoryDriver(): DriverFactory {
  const broker = new MemoryBroker()
  return { errand: 'driver', name: 'memory', place: randomUUID().slice(0, 8), open: () => openDriver(broker) }
}

function openDriver(broker: MemoryBroker): Driver {
  const subscriptions = new Set<MemorySubscription>()
  let closing: Promise<void> | undefined
  const open = (): void => {
    if (closing) throw new ErrandError('E_CLOSED', 'this driver has been closed')
  }
  return {
    port: 1,
    name: 'memory',
    capabilities: { delivers: 'tickets', depth: 'exact' },
    async publish(tickets) {
      open()
      for (const ticket of tickets) broker.add({ ...ticket })
      return { accepted: tickets, refused: [] }
    },
    async subscribe(queue) {
      open()
      const subscription = new MemorySubscription(broker, queue)
      subscriptions.add(subscription)
      return subscription
    },
    async depth(queue) {
      return broker.depth(queue)
    },
    async purge(queue) {
      broker.purge(queue)
    },
    close() {
      closing ??= Promise.all([...subscriptions].map((subscription) => subscription.close())).then(
        () => undefined,
      )
      return closing
    },
  }
}
