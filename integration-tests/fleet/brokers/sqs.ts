import { randomBytes } from 'node:crypto'
import { startPrivateSqs } from '../../services/private-sqs.ts'
import type { BrokerKind } from '../place.ts'
import { withParameters } from '../urls.ts'

/** Its SDK is slow to load, so it is loaded only on use. */
const openCorner = async (driver: string) => new (await import('../../sqs/corner.ts')).Corner(driver)

const keepsNothing = 'the private SQS keeps nothing: see broker wiped'

export const broker: BrokerKind = {
  name: 'sqs',
  title: 'SQS',
  provided: 'sqs',
  waitsInSilence: true,
  cannot: {
    'broker restarted': keepsNothing,
    'broker killed': keepsNothing,
    'memory alarm': 'SQS has no alarms',
    'queue with other arguments': 'a queue of SQS is used as it is',
    unroutable: 'SQS refuses a send to a queue that is not there: see throttled',
  },
  missing: () => undefined,
  async start() {
    const server = await startPrivateSqs()
    return { ...server, wipe: () => server.kill() }
  },
  makeDriver(server) {
    const prefix = new URL(server).searchParams.get('prefix') ?? 'errand-'
    return withParameters(server, { prefix: `${prefix}${randomBytes(4).toString('hex')}-` })
  },
  hasty: (driver) => withParameters(driver, { visibility: '3s' }),
  factory: async (driver) => (await import('@errand/driver-sqs')).fromUrl(driver),
  deleteQueues: async (driver) => (await openCorner(driver)).close(),
  async put(driver, queue, lane, contents) {
    // SQS accepts no empty message, and only characters that XML allows.
    const bodies = contents.map((content) => content.toString()).filter((body) => /^[\t\n\r -~]+$/.test(body))
    await (await openCorner(driver)).put(queue, lane, bodies)
  },
}
