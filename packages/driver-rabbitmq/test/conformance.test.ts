import { describe, inject } from 'vitest'
import type { Driver } from '@errand/core/ports'
import { describeDriver, startFaultProxy, workerRef } from '@errand/testkit'
import { deleteQueues, newPrefix, openDriver, publishRaw, toQueueName } from './broker.ts'

const url = inject('amqp')

describe.skipIf(url === undefined)('RabbitMQ', () => {
  const broker = String(url)

  describeDriver('rabbitmq', {
    capabilities: { delivers: 'tickets', depth: 'exact', packs: true, sever: true, publishRaw: true },
    async create() {
      const prefix = newPrefix()
      const { hostname, port } = new URL(broker)
      // The connections of this test alone can be cut: others use the broker as well.
      const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5672) })
      const queues = new Set<string>()
      const opened: Driver[] = []
      const open = (): Driver => {
        const driver = remembering(openDriver({ url: proxy.url(broker), prefix }), queues)
        opened.push(driver)
        return driver
      }
      return {
        driver: open(),
        another: async () => open(),
        sever: async () => proxy.cut(),
        async publishRaw(queue, message) {
          // Declares the queue, as the first worker does.
          await (await opened[0]?.subscribe(queue, { worker: workerRef() }))?.close()
          await publishRaw(broker, toQueueName(prefix, queue, 'normal'), Buffer.from(message))
        },
        async close() {
          await Promise.all(opened.map((driver) => driver.close()))
          await proxy.close()
          await deleteQueues(broker, prefix, queues)
        },
      }
    },
  })
})

/** The same driver, and the names of the queues that were used through it, so that they can be deleted. */
function remembering(driver: Driver, queues: Set<string>): Driver {
  return {
    port: driver.port,
    name: driver.name,
    capabilities: driver.capabilities,
    publish(tickets, call) {
      for (const { queue } of tickets) queues.add(queue)
      return driver.publish(tickets, call)
    },
    subscribe(queue, options) {
      queues.add(queue)
      return driver.subscribe(queue, options)
    },
    depth: (queue) => driver.depth(queue),
    purge: (queue) => driver.purge(queue),
    close: () => driver.close(),
  }
}
