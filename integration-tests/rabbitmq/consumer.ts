// Uses a driver as a worker does, without the rest of a worker: for tests of what a broker does to it.
import { isErrandError } from '@errand/core/ports'
import type { Driver, Ticket } from '@errand/core/ports'
import { newTicket, until, workerRef } from '@errand/testkit'

export interface Consumer {
  /** Ids in the order in which they came, repetitions included. */
  readonly got: string[]
  /** What its subscriptions threw. */
  readonly failures: string[]
  /** Resolves when all of them have come. */
  received(tickets: readonly Ticket[], withinMs?: number): Promise<void>
  stop(): Promise<void>
}

/** Asks, acks, and subscribes again 100 ms after a loss: what core does, without its growing pauses. */
export function consume(driver: Driver, queue: string): Consumer {
  const stopped = new AbortController()
  const got: string[] = []
  const failures: string[] = []

  const serve = async (): Promise<void> => {
    const subscription = await driver.subscribe(queue, { worker: workerRef() })
    try {
      while (!stopped.signal.aborted) {
        for (const delivery of await subscription.next(10, stopped.signal)) {
          got.push(delivery.ticket.id)
          await delivery.ack()
        }
      }
    } finally {
      await subscription.close()
    }
  }
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      try {
        await serve()
      } catch (error) {
        if (!isErrandError(error, 'E_DRIVER')) throw error
        failures.push(error.message)
        await new Promise((resolve) => {
          setTimeout(resolve, 100)
        })
      }
    }
  }
  const running = loop()

  return {
    got,
    failures,
    async received(tickets, withinMs = 10_000) {
      const missing = (): number => {
        const here = new Set(got)
        return tickets.filter(({ id }) => !here.has(id)).length
      }
      await until(() => missing() === 0, { withinMs, what: 'the tickets arrive' }).catch(() => {
        throw new Error(`${missing()} of ${tickets.length} tickets have not arrived within ${withinMs} ms`)
      })
    },
    async stop() {
      stopped.abort()
      await running
    },
  }
}

/** Publishes until the broker has accepted all of them, as the relay does. */
export async function publishAll(
  driver: Driver,
  tickets: readonly Ticket[],
  withinMs = 10_000,
): Promise<void> {
  const accepted = new Set<string>()
  await until(
    async () => {
      const left = tickets.filter(({ id }) => !accepted.has(id))
      const report = await driver.publish(left).catch(() => undefined)
      for (const { id } of report?.accepted ?? []) accepted.add(id)
      return accepted.size === tickets.length
    },
    { what: 'the broker accepts the tickets', withinMs },
  )
}

export function makeTickets(count: number, queue: string): Ticket[] {
  return Array.from({ length: count }, () => newTicket({ queue }))
}
