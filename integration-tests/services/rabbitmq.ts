import { connect } from 'amqplib'
import { startPrivateRabbitmq } from './private-rabbitmq.ts'
import { importServer } from './servers.ts'
import type { Service } from './service.ts'

const loopback = 'amqp://guest:guest@127.0.0.1:5672'
/** Another version by `ERRAND_TEST_AMQP_IMAGE`: CI goes through 3.10, 4.0 and the latest with it. */
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
    const containers = (await importServer('testcontainers')) as Testcontainers | undefined
    if (!containers) return undefined
    const started = await new containers.GenericContainer(image)
      .withExposedPorts(5672)
      .withWaitStrategy(containers.Wait.forLogMessage('Server startup complete', 1))
      .start()
    const url = `amqp://guest:guest@${started.getHost()}:${started.getMappedPort(5672)}`
    return {
      url,
      what: `RabbitMQ ${await version(url)} in a container (${image})`,
      stop: async () => void (await started.stop()),
    }
  },
}

async function version(url: string): Promise<string> {
  const connection = await connect(url, { timeout: 5_000 })
  connection.on('error', () => {})
  const properties: Record<string, unknown> = { ...connection.connection.serverProperties }
  await connection.close()
  return String(properties['version'])
}

/** As much of `testcontainers` as is used here: it is installed in a workspace of its own, out of the types' sight. */
interface Testcontainers {
  GenericContainer: new (image: string) => Container
  Wait: { forLogMessage(text: string, times: number): unknown }
}
interface Container {
  withExposedPorts(...ports: number[]): Container
  withWaitStrategy(strategy: unknown): Container
  start(): Promise<{ getHost(): string; getMappedPort(port: number): number; stop(): Promise<unknown> }>
}
