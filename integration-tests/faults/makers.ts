// How faults are made, for a story with its own length and for a soak with a random one. Each maker ends its fault, and
// waits until the fleet has recovered.
import { systemClock } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import type { SqsFaultRates } from '@errand/testkit/sqs-faults'
import type { Fleet } from '../fleet/fleet.ts'
import { lasts } from '../fleet/looks.ts'
import { toServer } from '../fleet/urls.ts'
import { onServer } from '../services/private-postgres.ts'

/** For parts that every place has where a fault can happen. */
export function present<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('this fault was made where it cannot happen')
  return part
}

/** Tears connections in every way in which a network does it. */
async function tearApart(proxy: FaultProxy, afterEach: () => Promise<void>): Promise<void> {
  const ways = [
    () => proxy.cutAfter(1_000, 'up'),
    () => proxy.cutAfter(1_000, 'down'),
    () => proxy.cutAfter(5_000, 'up'),
    () => proxy.cutAfter(5_000, 'down'),
    () => proxy.halfClose(),
    () => proxy.cut(),
  ]
  for (const tear of ways) {
    tear()
    await afterEach()
  }
  proxy.heal()
}

/** Dispatching goes on during the fault. */
async function dispatchGoesOnFor(fleet: Fleet, ms: number): Promise<void> {
  await Promise.all([fleet.dispatchGoesOn(40), lasts(ms)])
}

export async function whileSqs(
  fleet: Fleet,
  rates: SqsFaultRates,
  act: () => Promise<unknown>,
): Promise<void> {
  fleet.tell(JSON.stringify(rates))
  await act()
  fleet.tell('{}')
  await fleet.takesAgain()
}

export async function purgeQueue({ place, log }: Fleet): Promise<void> {
  const factory = await present(place.kind.broker).factory(present(place.driver))
  const driver = factory.open({ log, clock: systemClock, logger: quietLogger })
  try {
    await driver.purge('work')
  } finally {
    await driver.close()
  }
}

export function deleteQueues({ place }: Fleet): Promise<void> {
  return present(place.kind.broker).deleteQueues(present(place.driver), ['work'])
}

/** @param ms how long the fault lasts, if it lasts */
type Maker = (fleet: Fleet, ms: number) => Promise<void>

export const makers = {
  async 'connections closed'(fleet) {
    const { broker, proxies } = fleet.place
    if (broker?.closeConnections) await broker.closeConnections()
    else present(proxies.broker).cut()
    await fleet.takesAgain()
  },

  async 'connections torn'(fleet) {
    await tearApart(present(fleet.place.proxies.broker), () => fleet.dispatchGoesOn(10))
    await fleet.takesAgain()
  },

  async 'broker restarted'(fleet, ms) {
    const broker = present(fleet.place.broker)
    await present(broker.shutDown)()
    await dispatchGoesOnFor(fleet, ms)
    await broker.start()
    await fleet.takesAgain()
  },

  async 'broker killed'(fleet, ms) {
    // RabbitMQ 3.10 leaves a quorum queue without a leader for good when it is killed in the seconds after the queue was
    // declared. This story tests the workers, so it waits.
    await lasts(5_000)
    const broker = present(fleet.place.broker)
    await broker.kill()
    await dispatchGoesOnFor(fleet, ms)
    await broker.start()
    await fleet.takesAgain()
  },

  async 'broker wiped'(fleet, ms) {
    const broker = present(fleet.place.broker)
    await broker.wipe()
    await dispatchGoesOnFor(fleet, ms)
    await broker.start()
    await fleet.takesAgain()
  },

  async 'memory alarm'(fleet) {
    await present(fleet.place.broker?.whileAlarmed)(async (blocked) => {
      await fleet.dispatchGoesOn(40)
      await blocked()
      // From here on workers take jobs from the log.
      await fleet.goesOn(100)
    })
    await fleet.takesAgain()
  },

  async 'queue purged'(fleet) {
    await purgeQueue(fleet)
    await fleet.takesAgain()
  },

  async 'queue deleted'(fleet) {
    await deleteQueues(fleet)
    await fleet.takesAgain()
  },

  async 'confirm lost'(fleet, ms) {
    const proxy = present(fleet.place.proxies.broker)
    proxy.blackHole('down')
    await dispatchGoesOnFor(fleet, ms)
    proxy.heal()
    await fleet.takesAgain()
  },

  async 'database backends killed'(fleet) {
    for (let round = 0; round < 3; round += 1) {
      await onServer(toServer(fleet.place.log), (client) =>
        client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
            where pid <> pg_backend_pid() and backend_type = 'client backend'`,
        ),
      )
      await fleet.goesOn()
    }
    await fleet.takesAgain()
  },

  async 'database connections torn'(fleet) {
    await tearApart(present(fleet.place.proxies.log), () => fleet.goesOn())
    await fleet.takesAgain()
  },

  async 'database locked'(fleet, ms) {
    const { place } = fleet
    await place.kind.log.whileLocked(place.log, () => lasts(ms))
    await fleet.takesAgain()
  },

  async 'database slow'(fleet, ms) {
    const proxy = present(fleet.place.proxies.log)
    proxy.delay(200)
    await dispatchGoesOnFor(fleet, ms)
    await fleet.goesOn()
    proxy.heal()
    await fleet.takesAgain()
  },
} satisfies Readonly<Record<string, Maker>>
