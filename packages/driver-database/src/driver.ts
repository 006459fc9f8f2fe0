import { ErrandError } from '@errand/core'
import type { Duration } from '@errand/core'
import { buildDriver, defineOptions, option } from '@errand/core/driver-kit'
import type {
  Driver,
  DriverContext,
  DriverFactory,
  QueueName,
  SubscribeOptions,
  Topic,
} from '@errand/core/ports'
import { DatabaseSubscription } from './subscription.ts'
import type { Unanswered } from './subscription.ts'

export interface DatabaseOptions {
  /**
   * How often a waiting subscription looks for jobs without a wake-up, plus or minus half of it by chance. Default 2 s. If the
   * log cannot notify (PgBouncer), a job may start this late.
   */
  readonly poll?: Duration | undefined
}

// With 0 it would ask without a pause.
const table = defineOptions('database()', { poll: option.duration({ default: '2s', from: '1ms' }) })

/**
 * The default driver. It takes jobs directly from the job log, so there is nothing else to run. Jobs are granted as
 * they are taken, in one round trip. Wake-ups come from the log, and polling covers lost ones.
 * @throws `E_DURATION` for a bad `poll`, `E_OPTION` for 0 and for an unknown option.
 * @example
 * const errand = createErrand({ log: process.env.DATABASE_URL, driver: database({ poll: '500ms' }) })
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
  const unanswered = new Set<Unanswered>()
  const subscribe = async (
    queues: readonly QueueName[],
    { worker, trips, full }: SubscribeOptions,
  ): Promise<DatabaseSubscription> =>
    new DatabaseSubscription({ queues, worker, trips, full, log, logger, clock, pollMs, unanswered })
  return buildDriver({
    name: 'database',
    // The log knows how many jobs wait. This driver holds no tickets.
    capabilities: { delivers: 'claims', depth: 'unknown' },
    async publish(tickets) {
      const queues = new Set(tickets.map((ticket) => ticket.queue))
      await log.notify([...queues].map((queue): Topic => `queue:${queue}`))
      // The jobs are in the log already, and workers find them there, woken or not.
      return { accepted: tickets, refused: [] }
    },
    subscribe: (queue, options) => subscribe([queue], options),
    subscribeMany: subscribe,
    depth: async () => undefined,
    purge: async () => undefined,
  })
}
