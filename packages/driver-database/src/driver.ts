import { ErrandError } from '@errand/core'
import type { Duration } from '@errand/core'
import { buildDriver, defineOptions, option } from '@errand/core/driver-kit'
import type { Driver, DriverContext, DriverFactory, RequestId, Topic } from '@errand/core/ports'
import { DatabaseSubscription } from './subscription.ts'

export interface DatabaseOptions {
  /**
   * How often a waiting subscription looks for jobs although nothing woke it; half of it to one and a half, by chance.
   * Default 2 s. Where the log cannot notify (PgBouncer), this is how late a job may start.
   */
  readonly poll?: Duration | undefined
}

// One of 0 would never stop asking.
const table = defineOptions('database()', { poll: option.duration({ default: '2s', from: '1ms' }) })

/**
 * The default driver: takes jobs straight from the job log, so that there is nothing else to run. Jobs are granted as
 * they are taken, in one round trip; wake-ups come from the log, and polling covers those that are lost.
 * @throws `E_DURATION` for a bad `poll`, `E_OPTION` for one of 0 and for an unknown option.
 * @example const errand = createErrand({ log: process.env.DATABASE_URL, driver: database({ poll: '500ms' }) })
 */
export function database(options: DatabaseOptions = {}): DriverFactory {
  const { poll: pollMs } = table.check(options)
  return { errand: 'driver', name: 'database', open: (context) => open(context, pollMs) }
}

/**
 * `database`, or `database:?poll=500ms`.
 * @throws `E_URL` for anything else in it, `E_OPTION` for another parameter.
 */
export function fromUrl(url: string): DriverFactory {
  if (url === 'database') return database()
  const match = /^database:(?:\/\/)?(?:\?(?<query>.*))?$/.exec(url)
  if (!match)
    throw new ErrandError('E_URL', "the database driver's URL is 'database', or 'database:?poll=500ms'")
  return database(table.readQuery("the database driver's URL", match.groups?.['query'] ?? ''))
}

function open({ log, logger, clock }: DriverContext, pollMs: number): Driver {
  const unanswered = new Map<string, RequestId>()
  return buildDriver({
    name: 'database',
    // How many jobs wait is the log's to say; this driver holds no tickets of its own.
    capabilities: { delivers: 'claims', depth: 'unknown' },
    async publish(tickets) {
      const queues = new Set(tickets.map((ticket) => ticket.queue))
      await log.notify([...queues].map((queue): Topic => `queue:${queue}`))
      // The jobs stand in the log already: whether anybody woke up, they will be found there.
      return { accepted: tickets, refused: [] }
    },
    subscribe: async (queue, { worker }) =>
      new DatabaseSubscription({ queue, worker, log, logger, clock, pollMs, unanswered }),
    depth: async () => undefined,
    purge: async () => undefined,
  })
}
