import { connect } from 'amqplib'
import { pidListening } from './listening.ts'
import type { FindServer } from './server.ts'

const loopback = 'amqp://guest:guest@127.0.0.1:5672'

/** The queues that a subject may make: the driver's queue of each lane, and the queue of bare amqplib. */
const listQueues = (space: string): readonly string[] => [
  ...['critical', 'high', 'normal', 'low'].map((lane) => `${space}:bench:${lane}:v1`),
  `${space}.bench`,
]

export const findRabbitmq: FindServer = async (setting) => {
  const url = setting ?? loopback
  try {
    const connection = await connect(url, { timeout: 5_000 })
    connection.on('error', () => {})
    const properties: Record<string, unknown> = { ...connection.connection.serverProperties }
    await connection.close()
    const what = `RabbitMQ ${String(properties['version'])}`
    return {
      url,
      what,
      // The whole node: work for others on it counts too.
      pid: pidListening(url, 5672),
      wipe: (space) => deleteQueues(url, space),
      release: async () => {},
    }
  } catch (error) {
    return `no RabbitMQ: ${(error as Error).message}`
  }
}

async function deleteQueues(url: string, space: string): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  for (const queue of listQueues(space)) await channel.deleteQueue(queue)
  await connection.close()
}
