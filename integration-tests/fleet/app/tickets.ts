import { setTimeout as sleep } from 'node:timers/promises'
import type { Driver, DriverFactory } from '@errand/core/ports'

/** What a dispatcher does to its tickets: `repeated` publishes each of them five times, `shuffled` in any order. */
export type Disturbance = 'repeated' | 'shuffled'

const copies = 5
const longestMs = 500

/** A driver that disturbs tickets on their way to the broker, which then really holds what it delivers. */
export async function disturbed(
  driver: string | DriverFactory | undefined,
  how: string | undefined,
): Promise<string | DriverFactory | undefined> {
  if (how === undefined || driver === undefined) return driver
  // The driver of SQS already has faults, so it is no URL.
  const factory =
    typeof driver === 'string' ? (await import('@errand/driver-rabbitmq')).fromUrl(driver) : driver
  return {
    ...factory,
    open: (context) => {
      const opened = factory.open(context)
      return how === 'repeated' ? repeating(opened) : shuffling(opened)
    },
  }
}

function repeating(driver: Driver): Driver {
  return {
    ...bound(driver),
    async publish(tickets, call) {
      const reports = await Promise.all(Array.from({ length: copies }, () => driver.publish(tickets, call)))
      return reports[0] ?? { accepted: [], refused: [] }
    },
  }
}

function shuffling(driver: Driver): Driver {
  return {
    ...bound(driver),
    async publish(tickets, call) {
      const reports = await Promise.all(
        tickets.map(async (ticket) => {
          await sleep(Math.random() * longestMs)
          return driver.publish([ticket], call)
        }),
      )
      return {
        accepted: reports.flatMap(({ accepted }) => accepted),
        refused: reports.flatMap(({ refused }) => refused),
      }
    },
  }
}

/** Binds the methods, because the driver may be an instance of a class. */
function bound(driver: Driver): Driver {
  return {
    port: driver.port,
    name: driver.name,
    capabilities: driver.capabilities,
    publish: (tickets, call) => driver.publish(tickets, call),
    subscribe: (queue, options) => driver.subscribe(queue, options),
    depth: (queue) => driver.depth(queue),
    purge: (queue) => driver.purge(queue),
    close: () => driver.close(),
  }
}
