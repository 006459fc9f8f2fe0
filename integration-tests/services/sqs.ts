import { once } from 'node:events'
import { connect } from 'node:net'
import type { DriverContext, Logger } from '@errand/core/ports'
import { startContainer } from './container.ts'
import { startPrivateSqs } from './private-sqs.ts'
import type { Service } from './service.ts'

const loopback = 'sqs://test:test@eu-west-1?endpoint=http://127.0.0.1:4566'
const image = 'localstack/localstack:4.4'

/** Real SQS by its variable, with credentials where the SDK looks for them: `ERRAND_TEST_SQS=sqs://eu-west-1?prefix=errand-ci-`. */
export const sqs: Service = {
  name: 'sqs',
  variable: 'ERRAND_TEST_SQS',

  async at(url) {
    await answer(url)
    return { url, what: 'SQS at ERRAND_TEST_SQS', stop: async () => {} }
  },

  async answering() {
    if (!(await listens(4566))) return undefined
    await answer(loopback)
    return { url: loopback, what: 'an SQS emulator on port 4566', stop: async () => {} }
  },

  async private() {
    const server = await startPrivateSqs()
    const what = `SQS, private (fauxqs ${server.version}, port ${server.port})`
    return { url: server.url, what, stop: () => server.stop() }
  },

  async container() {
    const started = await startContainer({
      image,
      port: 4566,
      ready: 'Ready.',
      environment: { SERVICES: 'sqs' },
    })
    if (!started) return undefined
    const url = `sqs://test:test@us-east-1?endpoint=http://${started.host}:${started.port}`
    return { url, what: `SQS in a container (${image})`, stop: () => started.stop() }
  },
}

/** Asks for a queue that does not exist. That needs only an SQS, and the right to ask. */
async function answer(url: string): Promise<void> {
  // The AWS SDK is loaded only if it is needed.
  const driver = await import('@errand/driver-sqs')
  const context: Partial<DriverContext> = { logger: quiet }
  const asked = driver.sqs(url).open(context as DriverContext)
  try {
    await asked.depth('is-anybody-there')
  } finally {
    await asked.close()
  }
}

const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
