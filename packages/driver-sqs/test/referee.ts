import type { Delivery, Driver, Subscription, Ticket } from '@errand/core/ports'

/**
 * Acts as the job log between drivers and a test. It grants a ticket once, until it is released or comes back, and refuses
 * copies of tickets that are granted or finished. So a test can show that a broker that repeats tickets does no harm.
 */
export class Referee {
  readonly #granted = new Set<string>()
  readonly #finished = new Set<string>()
  /** Copies that were refused. */
  refused = 0

  over(driver: Driver): Driver {
    const held = new Set<Set<string>>()
    return {
      ...driver,
      subscribe: async (queue, options) => {
        const mine = new Set<string>()
        held.add(mine)
        return this.#watch(await driver.subscribe(queue, options), mine)
      },
      close: async () => {
        for (const mine of held) this.#forget(mine)
        await driver.close()
      },
    }
  }

  #watch(subscription: Subscription, mine: Set<string>): Subscription {
    return {
      next: async (max, signal) => {
        for (;;) {
          const deliveries = await subscription.next(max, signal)
          const granted = deliveries.filter(({ ticket }) => this.#grant(ticket, mine))
          const copies = deliveries.filter((each) => !granted.includes(each))
          // While the first one is out its copy is left alone: to ack it would delete both, and only the log can make
          // new tickets of a job that comes back.
          const stale = copies.filter(({ ticket }) => this.#finished.has(ticket.id))
          await Promise.all(stale.map((copy) => copy.ack()))
          if (granted.length > 0 || deliveries.length === 0)
            return granted.map((each) => this.#hand(each, mine))
        }
      },
      close: async () => {
        this.#forget(mine)
        await subscription.close()
      },
    }
  }

  #grant({ id }: Ticket, mine: Set<string>): boolean {
    if (this.#granted.has(id)) {
      this.refused += 1
      return false
    }
    this.#granted.add(id)
    mine.add(id)
    return true
  }

  #hand(delivery: Delivery, mine: Set<string>): Delivery {
    const { id } = delivery.ticket
    return {
      ticket: delivery.ticket,
      ack: async () => {
        // Finished: it stays granted, and every later copy is refused.
        if (mine.delete(id)) this.#finished.add(id)
        await delivery.ack()
      },
      release: async () => {
        if (mine.delete(id)) this.#granted.delete(id)
        await delivery.release()
      },
    }
  }

  #forget(mine: Set<string>): void {
    for (const id of mine) this.#granted.delete(id)
    mine.clear()
  }
}
