import { buildDriver } from '@errand/core/driver-kit'
import type { Driver, DriverContext } from '@errand/core/ports'
import { purgeAll, readDepth } from './inspection.ts'
import { Link } from './link.ts'
import { brokerQueues } from './names.ts'
import type { Settings } from './options.ts'
import { Publisher } from './publisher.ts'
import { RabbitmqSubscription } from './subscription.ts'
import { getTopology } from './topology.ts'

export function openDriver(settings: Settings, context: DriverContext): Driver {
  const { clock, logger } = context
  const publishing = new Link('publish', settings, context)
  const consuming = new Link('consume', settings, context)
  const publisher = new Publisher(publishing, settings, clock)
  return buildDriver({
    name: 'rabbitmq',
    capabilities: { delivers: 'tickets', depth: 'exact', packs: true },
    publish: (tickets, call) => publisher.publish(tickets, call),
    refusal: () => publisher.refusal(),
    async subscribe(queue) {
      const connection = await consuming.connected()
      await getTopology(connection, settings).ensureAll(brokerQueues(settings.prefix, queue))
      return new RabbitmqSubscription({ queue, connection, settings, clock, logger })
    },
    depth: async (queue) => readDepth(await consuming.connected(), settings.prefix, queue),
    purge: async (queue) => purgeAll(await consuming.connected(), settings.prefix, queue),
    async close() {
      await publisher.idle()
      await Promise.all([publishing.close(), consuming.close()])
    },
  })
}
