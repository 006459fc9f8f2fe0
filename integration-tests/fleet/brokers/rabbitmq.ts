import { lanes } from '@errand/core/ports'
import { whileAlarmed } from '../../rabbitmq/alarm.ts'
import { brokerQueue, driverUrl, newPrefix, onBroker } from '../../rabbitmq/broker.ts'
import { isRabbitmqInstalled, startPrivateRabbitmq } from '../../services/private-rabbitmq.ts'
import type { BrokerKind } from '../place.ts'
import { readPrefix, toServer, withParameters } from '../urls.ts'

export const broker: BrokerKind = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  provided: 'amqp',
  cannot: {},
  missing: () => (isRabbitmqInstalled() ? undefined : 'no RabbitMQ is installed'),
  async start() {
    const node = await startPrivateRabbitmq()
    if (!node) throw new Error('no RabbitMQ is installed')
    return {
      ...node,
      closeConnections: async () => {
        await node.rabbitmqctl('close_all_connections', 'an operator was here')
      },
      async wipe() {
        await node.shutDown()
        node.wipe()
      },
      whileAlarmed: (act) => whileAlarmed(node, act),
    }
  },
  makeDriver: (server) => driverUrl(server, newPrefix()),
  hasty: (driver) => withParameters(driver, { heartbeat: '2' }),
  factory: async (driver) => (await import('@errand/driver-rabbitmq')).fromUrl(driver),
  deleteQueues: (driver, queues) =>
    onQueues(driver, async (channel, toName) => {
      for (const queue of queues) for (const lane of lanes) await channel.deleteQueue(toName(queue, lane))
    }),
  put: (driver, queue, lane, contents) =>
    onQueues(driver, async (channel, toName) => {
      for (const content of contents) channel.sendToQueue(toName(queue, lane), content)
    }),
  declareOtherwise: (driver, queue, lane) =>
    onQueues(driver, async (channel, toName) => {
      const name = toName(queue, lane)
      await channel.assertQueue(name, { durable: true })
      return {
        says: `queue "${name}" exists with another x-queue-type`,
        remove: () => onQueues(driver, async (again) => void (await again.deleteQueue(name))),
      }
    }),
}

type Act<T> = Parameters<typeof onBroker<T>>[1]

/** Does something to the queues of a driver's URL, without the driver. */
function onQueues<T>(
  driver: string,
  act: (
    channel: Parameters<Act<T>>[0],
    toName: (queue: string, lane: (typeof lanes)[number]) => string,
  ) => Promise<T>,
): Promise<T> {
  const prefix = readPrefix(driver)
  return onBroker(toServer(driver), (channel) =>
    act(channel, (queue, lane) => brokerQueue(prefix, queue, lane)),
  )
}
