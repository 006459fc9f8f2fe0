import type { Ticket } from '../../src/job/ticket.ts'
import type { Delivery, Driver, DriverFactory } from '../../src/ports/driver.ts'
import { memoryDriver } from '../../src/testing/memory-driver.ts'

/** The reference driver with some of its methods replaced. */
export function faultyDriver(
  change: (driver: Driver) => Partial<Driver>,
  driver: DriverFactory = memoryDriver(),
): DriverFactory {
  return {
    ...driver,
    open(context) {
      const real = driver.open(context)
      return { ...real, ...change(real) }
    },
  }
}

/** A broker that accepts every ticket and loses it. */
export function losingDriver(): DriverFactory {
  return faultyDriver(() => ({ publish: async (tickets) => ({ accepted: tickets, refused: [] }) }))
}

/** A broker that delivers each ticket this often. */
export function repeatingDriver(times: number): DriverFactory {
  return faultyDriver((real) => ({
    async publish(tickets) {
      const copies = Array.from({ length: times }, () => tickets).flat()
      await real.publish(copies)
      return { accepted: tickets, refused: [] }
    },
  }))
}

/** Notes whether each delivery was acked or released. */
export function notingDriver(notes: string[], describe: (ticket: Ticket) => string): DriverFactory {
  return faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      return {
        next: async (max, signal) =>
          (await subscription.next(max, signal)).map((delivery): Delivery => ({
            ...delivery,
            ack: async () => {
              notes.push(`acked ${describe(delivery.ticket)}`)
              await delivery.ack()
            },
            release: async () => {
              notes.push(`released ${describe(delivery.ticket)}`)
              await delivery.release()
            },
          })),
        close: () => subscription.close(),
      }
    },
  }))
}
