// Whole workers on a broker that fails. One fleet of two worker processes goes through one fault after another, on its own
// node, while jobs are dispatched all the time. The last test checks the whole history.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Receipt } from '@errand/core'
import { scaleLimit, startFaultProxy, until } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import { aside, gated } from '../fleet/app/jobs.ts'
import { openGate, readLedger } from '../fleet/app/ledger.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import type { Member } from '../fleet/member.ts'
import { scene } from '../fleet/shared.ts'
import { readPrefix } from '../fleet/urls.ts'
import type { Scene } from '../fleet/scene.ts'
import type { PrivateRabbitmq } from '../services/private-rabbitmq.ts'
import { whileAlarmed } from './alarm.ts'
import {
  brokerQueue,
  deleteQueues,
  driverUrl,
  fateOfHeldMessage,
  findLane,
  newPrefix,
  onBroker,
} from './broker.ts'
import { endsWell, nameQueue, startRabbitmqFleet } from './fleet.ts'
import { canHaveNode, nodeOfItsOwn } from './node.ts'

let node: PrivateRabbitmq
/** The proxy between the dispatcher and the node. */
let proxy: FaultProxy
let fleet: Fleet
/** A job that runs during all faults, and longer than a ticket may be held here. */
let long: {
  readonly on: Scene
  readonly job: Receipt<unknown>
  readonly sinceMs: number
  readonly worker: Member
}
const atTheEnd: (() => void | Promise<void>)[] = []

describe.skipIf(!canHaveNode)('a fleet on a RabbitMQ that burns', () => {
  beforeAll(async () => {
    node = await nodeOfItsOwn({
      config: () => ['consumer_timeout = 5000'],
      // How often a channel checks that timeout. Default: every minute.
      advanced: '[{rabbit, [{channel_tick_interval, 1000}]}].',
    })
    atTheEnd.push(() => node.stop())
    proxy = await startFaultProxy({ host: '127.0.0.1', port: node.port })
    atTheEnd.push(() => proxy.close())
    fleet = await startRabbitmqFleet(node.url, proxy.url(node.url), (act) => void atTheEnd.push(act))
    long = await startLongJob()
  })
  afterAll(async () => {
    for (const act of atTheEnd.toReversed()) await act()
  })

  test('all connections closed by an operator: both workers take again', async () => {
    await node.rabbitmqctl('close_all_connections', 'an operator was here')
    await fleet.takesAgain()
  })

  test('queues deleted while workers wait: declared again, and both workers take again', async () => {
    await deleteQueues(node.url, readPrefix(fleet.place.driver), ['work'])
    await fleet.takesAgain()
  })

  test('a memory alarm: dispatch still commits, workers go on, and all is as before when it is over', async () => {
    await whileAlarmed(node, async (blocked) => {
      await fleet.dispatchGoesOn(40)
      await blocked()
      // From here on workers take jobs from the log.
      await fleet.goesOn(100)
    })
    await fleet.takesAgain()
  })

  test('confirms that never come: dispatch goes on, and tickets flow again when they come', async () => {
    proxy.blackHole('down')
    await fleet.dispatchGoesOn(100)
    // A broker that does not answer delays only a few dispatches, and each of them for a short time.
    expect(fleet.slowestDispatchMs).toBeLessThan(scaleLimit(5_000))
    proxy.heal()
    await fleet.takesAgain()
  })

  test('the node restarted: dispatch goes on, and both workers take again', async () => {
    await node.shutDown()
    await fleet.dispatchGoesOn(40)
    await node.start()
    await fleet.takesAgain()
  })

  test('the node killed with -9: dispatch goes on, and both workers take again', async () => {
    // RabbitMQ 3.10 leaves a quorum queue without a leader for good when it is killed in the seconds after the queue was
    // declared. Our queues are older, and this test is about the workers.
    await node.kill()
    await fleet.dispatchGoesOn(40)
    await node.start()
    await fleet.takesAgain()
  })

  test('the node wiped with tickets in it: both workers take again', async () => {
    const normal = nameQueue(fleet, 'normal')
    for (const worker of fleet.workers) worker.signal('SIGSTOP')
    try {
      const isFull = async (): Promise<boolean> => ((await findLane(node.url, normal))?.waiting ?? 0) >= 10
      await until(isFull, { what: 'tickets wait on the broker', pause })
      await node.shutDown()
      node.wipe()
    } finally {
      for (const worker of fleet.workers) worker.signal('SIGCONT')
    }
    await node.start()
    await fleet.takesAgain()
  })

  test('a queue that exists with other arguments: the argument is named, and other queues live on', async () => {
    // Jobs that the earlier faults have delayed end in this time.
    await fleet.rest()
    const prefix = newPrefix()
    const wrong = brokerQueue(prefix, 'aside', 'low')
    await onBroker(node.url, (channel) => channel.assertQueue(wrong, { durable: true }))
    const on = await scene('rabbitmq', { driver: driverUrl(node.url, prefix), publishGraceMs: 1_000 })
    const worker = await startWorker({ ...on.env, QUEUES: 'work,aside' })
    const beganMs = performance.now()
    const state = async () => (await on.errand.workers.list()).find(({ id }) => id === worker.id)
    const named = `queue "${wrong}" exists with another x-queue-type`
    await until(async () => (await state())?.why?.includes(named), { what: 'the worker tells', pause })
    expect(worker.output()).toContain('x-queue-type')
    const isConsumed = async (name: string): Promise<boolean> =>
      (await findLane(node.url, name))?.consumers === 1
    await until(() => isConsumed(brokerQueue(prefix, 'work', 'low')), {
      what: 'the other queue is served',
      pause,
    })

    // Nobody fetches its ticket. A worker that has got nothing of the queue for 5 s takes the job from the log.
    await until(() => performance.now() - beganMs > 6_000, { pause })
    const receipt = await on.errand.dispatch(aside, { n: 1 }, { lane: 'high' })
    await on.errand.result(receipt, { timeout: scaleLimit(60_000) })

    await onBroker(node.url, (channel) => channel.deleteQueue(wrong))
    await until(async () => (await state())?.taking, { what: 'it takes from both', withinMs: 10_000, pause })
    await until(() => isConsumed(wrong), { what: 'the right queue is there', pause })
    expect(await on.violations()).toBe('')
  })

  test('consumer_timeout of 5 s: a job of a minute, through all of these faults, runs once, to its end', async () => {
    // A consumer that holds a message for so long loses it, and its channel: twice in a row.
    for (let control = 1; control <= 2; control += 1) {
      expect(await fateOfHeldMessage(node.url, `control-${control}`)).toMatch(
        /delivery acknowledgement.*timed out|consumer was cancelled/i,
      )
    }
    const { on, job, worker, sinceMs } = long
    await until(() => performance.now() - sinceMs > 60_000, {
      what: 'a minute is over',
      withinMs: 60_000,
      pause,
    })
    openGate(on.ledger)
    await on.errand.result(job, { timeout: scaleLimit(30_000) })

    const events = (await on.log.readHistory(job.id)).map(({ type }) => type)
    expect(events).toEqual(['dispatched', 'started', 'succeeded'])
    expect(readLedger(on.ledger).map(({ mark }) => mark)).toEqual(['began', 'ended'])
    expect(worker.output()).not.toMatch(/timed out/)
    expect(await on.violations()).toBe('')
  })

  test('after all that every job that was dispatched has ended, and every promise was kept', async () => {
    await endsWell(fleet)
  })
})

async function startLongJob(): Promise<typeof long> {
  const on = await scene('rabbitmq', {
    driver: driverUrl(node.url, newPrefix()),
    finally: (act) => void atTheEnd.push(act),
  })
  const worker = await startWorker(on.env, { finally: (act) => void atTheEnd.push(act) })
  const job = await on.errand.dispatch(gated, { n: 1 })
  await until(() => readLedger(on.ledger).length > 0, { what: 'the job runs', pause })
  return { on, job, worker, sinceMs: performance.now() }
}
