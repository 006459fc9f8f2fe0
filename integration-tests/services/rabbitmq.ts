import { connect } from 'amqplib'
import { startContainer } from './container.ts'
import { startPrivateRabbitmq } from './private-rabbitmq.ts'
import type { Service } from './service.ts'

const loopback = 'amqp://guest:guest@127.0.0.1:5672'
/** Another version by `ERRAND_TEST_AMQP_IMAGE`: `pnpm test:matrix` goes through several. */
const image = process.env['ERRAND_TEST_AMQP_IMAGE'] ?? 'rabbitmq:4-alpine'

/** Tests share the server and its vhost: each has a prefix of its own, and deletes the queues that it made. */
export const rabbitmq: Service = {
  name: 'amqp',
  variable: 'ERRAND_TEST_AMQP',

  async at(url) {
    return { url, what: `RabbitMQ ${await version(url)} at ERRAND_TEST_AMQP`, stop: async () => {} }
  },

  async answering() {
    try {
      return { url: loopback, what: `RabbitMQ ${await version(loopback)} on port 5672`, stop: async () => {} }
    } catch {
      return undefined
    }
  },

  async private() {
    const node = await startPrivateRabbitmq()
    if (!node) return undefined
    return {
      url: node.url,
      what: `RabbitMQ ${node.version}, private (rabbitmq-server, port ${node.port})`,
      stop: () => node.stop(),
    }
  },

  async container() {
    const started = await startContainer({ image, port: 5672, ready: 'Server startup complete' })
    if (!started) return undefined
    const url = `amqp://guest:guest@${started.host}:${started.port}`
    const what = `RabbitMQ ${await version(url)} in a container (${image})`
    return { url, what, stop: () => started.stop() }
  },
}

async function version(url: string): Promise<string> {
  const connection = await connect(url, { timeout: 5_000 })
  connection.on('error', () => {})
  const properties: Record<string, unknown> = { ...connection.connection.serverProperties }
  await connection.close()
  return String(properties['version'])
}
