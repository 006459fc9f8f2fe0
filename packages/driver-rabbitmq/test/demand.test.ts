import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { lanes, systemClock } from '@errand/core/ports'
import type { Clock, Delivery, Lane, Subscription } from '@errand/core/ports'
import { newTicket, startFaultProxy, until, workerRef } from '@errand/testkit'
import { deleteQueues, newPrefix, nobody, onBroker, openDriver, toQueueName } from './broker.ts'

const url = inject('amqp')

async function scene() {
  const broker = String(url)
  const prefix = newPrefix()
  const { hostname, port } = new URL(broker)
  const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5672) })
  const driver = openDriver({ url: proxy.url(broker), prefix, heartbeat: '60s' })
  const other = openDriver({ url: broker, prefix })
  onTestFinished(async () => {
    await Promise.all([driver.close(), other.close()])
    await proxy.close()
    await deleteQueues(broker, prefix, ['q'])
  })
  const publish = async (lane: Lane, count: number): Promise<void> => {
    for (let left = count; left > 0; left -= 500) {
      const tickets = Array.from({ length: Math.min(500, left) }, () => newTicket({ queue: 'q', lane }))
      expect((await other.publish(tickets)).accepted).toHaveLength(tickets.length)
    }
  }
  const subscription = await driver.subscribe('q', { worker: workerRef() })
  const idle = async () => other.subscribe('q', { worker: workerRef() })
  return { broker, prefix, proxy, driver, other, publish, subscription, idle }
}

/** As a worker does: asks, acks at claim, and tells the lanes in the order in which they came. */
async function run(subscription: Subscription, count: number, max: number): Promise<Lane[]> {
  const order: Lane[] = []
  while (order.length < count) {
    const deliveries = await subscription.next(max, nobody)
    if (deliveries.length === 0) throw new Error(`the subscription ended after ${order.length} of ${count}`)
    for (const delivery of deliveries) {
      order.push(delivery.ticket.lane)
      void delivery.ack()
    }
  }
  return order
}

async function countConsumers(broker: string, prefix: string): Promise<number> {
  return onBroker(broker, async (channel) => {
    const counts = await Promise.all(lanes.map((lane) => channel.checkQueue(toQueueName(prefix, 'q', lane))))
    return counts.reduce((sum, { consumerCount }) => sum + consumerCount, 0)
  })
}

describe.skipIf(url === undefined)('demand', () => {
  it('a backlog of low tickets does not delay critical ones, and both have their share', async () => {
    const { publish, subscription } = await scene()
    await publish('low', 2_000)
    await run(subscription, 100, 10)
    await publish('critical', 50)
    const order = await run(subscription, 60, 5)
    // Up to ten were already with the worker. From then on nine of ten are critical.
    const critical = order
      .map((lane, index) => (lane === 'critical' ? index : -1))
      .filter((index) => index >= 0)
    expect(critical).toHaveLength(50)
    expect(critical.slice(0, 4)).toEqual([0, 1, 2, 3])
    expect(order.slice(0, critical.at(-1)).filter((lane) => lane === 'low').length).toBeLessThanOrEqual(6)
  })

  it('critical tickets without end leave every tenth place to the lowest lane that waits', async () => {
    const { publish, subscription } = await scene()
    await publish('critical', 200)
    await publish('high', 50)
    await publish('low', 50)
    for (const max of [1, 4]) {
      const order = await run(subscription, 80, max)
      expect(order.filter((lane) => lane === 'low')).toHaveLength(8)
      expect(order.filter((lane) => lane === 'high')).toHaveLength(0)
    }
  })

  it('a busy worker holds nothing: all that it did not ask for is there for an idle one', async () => {
    const { publish, subscription, idle, other, broker, prefix } = await scene()
    for (const lane of lanes) await publish(lane, 5)
    const [held] = await subscription.next(1, nobody)
    expect(held?.ticket.lane).toBe('critical')
    // Its slot is busy for an hour.
    await held?.ack()
    await until(async () => (await other.depth('q')) === 19, { what: 'the broker has all the others' })
    await until(async () => (await countConsumers(broker, prefix)) === 0, {
      what: 'it has stopped consuming',
    })
    expect(await run(await idle(), 19, 10)).toHaveLength(19)
  })

  it('a worker whose jobs take their time has no ticket on the side, whatever is published', async () => {
    const { publish, subscription, other, broker, prefix } = await scene()
    await publish('normal', 10)
    for (let job = 1; job <= 3; job += 1) {
      const [delivery] = await subscription.next(1, nobody)
      await delivery?.ack()
      await until(async () => (await countConsumers(broker, prefix)) === 0, {
        what: 'it has stopped consuming',
      })
      expect(await other.depth('q')).toBe(10 - job)
    }
  })

  it('a worker whose jobs take their time hands back what came too much at once, not after a while', async () => {
    const { publish, other, broker, prefix } = await scene()
    // No timer ever fires, so tickets are handed back without one.
    const clock: Clock = { ...systemClock, after: () => () => {} }
    const driver = openDriver({ url: broker, prefix }, undefined, clock)
    onTestFinished(() => driver.close())
    const slow = await driver.subscribe('q', { worker: workerRef() })
    await publish('normal', 1)
    expect(await run(slow, 1, 1)).toHaveLength(1)
    const began = performance.now()
    await until(() => performance.now() - began > 100)
    const waiting = slow.next(1, nobody)
    await until(async () => (await countConsumers(broker, prefix)) === 4, { what: 'it consumes' })
    await publish('normal', 3)
    for (const delivery of await waiting) await delivery.ack()
    await until(async () => (await countConsumers(broker, prefix)) === 0, {
      what: 'it has stopped consuming',
    })
    await until(async () => (await other.depth('q')) === 2, { what: 'the others are on the broker' })
  })

  it('a waiting worker says nothing to the broker', async () => {
    const { publish, subscription, proxy, broker, prefix } = await scene()
    const waiting = subscription.next(10, nobody)
    await until(async () => (await countConsumers(broker, prefix)) === 4, { what: 'it consumes' })
    // The broker may still be on its way with the answer to the last lane, so only what the worker says counts.
    const { up } = proxy.passed
    const began = performance.now()
    await until(() => performance.now() - began > 1_500)
    expect(proxy.passed.up).toBe(up)
    await publish('high', 1)
    expect(await waiting).toHaveLength(1)
  })

  it('consumers grow with the demand: a worker that comes to have more slots is not fed one by one', async () => {
    const { publish, subscription, broker, prefix } = await scene()
    const first = subscription.next(1, nobody)
    await until(async () => (await countConsumers(broker, prefix)) === 4, { what: 'it consumes' })
    await publish('normal', 1)
    for (const delivery of await first) await delivery.ack()
    const waiting = subscription.next(50, nobody)
    await publish('normal', 200)
    const sizes: number[] = []
    for (let left = 200, asked = waiting; left > 0; asked = subscription.next(50, nobody)) {
      const deliveries = await asked
      expect(deliveries.length).toBeGreaterThan(0)
      await Promise.all(deliveries.map((delivery) => delivery.ack()))
      sizes.push(deliveries.length)
      left -= deliveries.length
      if (left === 0) break
    }
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual(20)
  })

  it('an ask that is given up leaves no ticket behind', async () => {
    const { publish, subscription, other } = await scene()
    for (let round = 0; round < 10; round += 1) {
      const gone = new AbortController()
      const asked = subscription.next(3, gone.signal)
      const publishing = publish('normal', 3)
      gone.abort()
      await publishing
      for (const delivery of await asked) await delivery.release()
    }
    await subscription.close()
    await until(async () => (await other.depth('q')) === 30, { what: 'all tickets are on the broker' })
  })

  it('acks of a batch go out as one frame', async () => {
    const { publish, subscription, proxy, other } = await scene()
    await publish('normal', 100)
    const got: Delivery[] = []
    while (got.length < 100) {
      const some = await subscription.next(100 - got.length, nobody)
      expect(some.length).toBeGreaterThan(0)
      got.push(...some)
    }
    await until(async () => (await other.depth('q')) === 0)
    const { up } = proxy.passed
    await Promise.all(got.map((delivery) => delivery.ack()))
    await subscription.close()
    // Four channels are closed as well, at 20 to 30 bytes each; a hundred frames of acks would be 2,100 bytes.
    expect(proxy.passed.up - up).toBeLessThan(600)
    expect(await other.depth('q')).toBe(0)
  })
})
