// Two worker processes on one log and one broker, with dispatching going on, for tests of faults.
import { expect, onTestFinished } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { startFleet } from '../fleet/fleet.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { collectIds } from '../fleet/looks.ts'
import { findPlace, placeOn } from '../fleet/place.ts'
import type { Finally } from '../fleet/scene.ts'
import { makeLog, makeFolder } from '../fleet/shared.ts'
import { readPrefix } from '../fleet/urls.ts'
import { brokerQueue, deleteQueues, driverUrl, findLane, newPrefix } from './broker.ts'

/**
 * @param broker its URL, without a proxy
 * @param dispatcherUrl how the dispatcher reaches it, if not as the workers do
 */
export async function startRabbitmqFleet(
  broker: string,
  dispatcherUrl = broker,
  atTheEnd: Finally = onTestFinished,
): Promise<Fleet> {
  const prefix = newPrefix()
  atTheEnd(() => deleteQueues(broker, prefix, ['work']))
  const parts = {
    kind: findPlace('rabbitmq'),
    folder: makeFolder(atTheEnd),
    log: makeLog('rabbitmq', atTheEnd),
    driver: driverUrl(broker, prefix),
  }
  const fleet = await startFleet(await placeOn(parts, atTheEnd), {
    finally: atTheEnd,
    workers: 2,
    jobs: 'plain',
    env: { LEASE_MS: String(scaleLimit(2_000)), EVERY_MS: '20' },
    dispatcherEnv: { ERRAND_DRIVER: driverUrl(dispatcherUrl, prefix) },
    // This lane is always empty, so every worker with a free slot listens to it.
    isTaking: async () => (await findLane(broker, brokerQueue(prefix, 'work', 'critical')))?.consumers === 2,
  })
  await fleet.begin()
  return fleet
}

export function nameQueue({ place }: Fleet, lane: 'normal' | 'critical'): string {
  return brokerQueue(readPrefix(place.driver), 'work', lane)
}

/** Stops dispatching, and checks that every job ends with success and every promise was kept. */
export async function endsWell(fleet: Fleet): Promise<void> {
  await fleet.rest()
  const succeeded = await collectIds(fleet.errand.jobs.list({ state: 'succeeded' }))
  expect(fleet.dispatched.filter((id) => !succeeded.has(id))).toEqual([])
  await fleet.endsWell()
}
