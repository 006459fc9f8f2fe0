import type { Publisher } from '../dispatch/publisher.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { JobLog, LogInfo } from '../ports/job-log.ts'
import type { Connection } from '../operate/connection.ts'
import { readyAtMost } from '../operate/ready-at-most.ts'

/** What `doctor` has done about ready jobs without tickets. */
export interface Repair {
  readonly queue: string
  /** Tickets that the broker has accepted. */
  readonly published: number
  /** Ready jobs that are left to relays and workers, due at once: there were too many, or the broker did not accept them. */
  readonly left: number
  readonly message: string
}

const pageSize = 100
const publishedAtOnce = 500
/** More than this is not read into one process: relays publish it, at their own rate. */
const mostTickets = 100_000

/**
 * Publishes every ready job of these queues again, oldest dispatch first. Nobody can know which of them have lost their
 * tickets, and a second ticket is refused at the claim. Safe to repeat, and beside workers.
 */
export async function publishAgain(
  connection: Connection,
  queues: readonly QueueName[],
): Promise<readonly Repair[]> {
  const repairs: Repair[] = []
  for (const queue of queues) repairs.push(await publishQueue(connection, queue))
  return repairs
}

async function publishQueue({ log, info, publisher }: Connection, queue: QueueName): Promise<Repair> {
  const tickets = await readyTickets(log, info, queue)
  const published = await publishAll(publisher, tickets ?? [])
  const done = `queue ${queue}: published ${published} tickets again`
  if (published === tickets?.length) return { queue, published, left: 0, message: done }
  const ready = await expediteAll(log, queue)
  const left = tickets === undefined ? ready : tickets.length - published
  const why =
    tickets === undefined ? 'more are ready than one process publishes' : 'the broker accepted no more'
  const message = `${done}; ${why}: ${left} jobs are due at once, for relays and workers`
  return { queue, published, left, message }
}

/** How many the broker has accepted; gives up with the first batch of which it takes none. */
async function publishAll(publisher: Publisher, tickets: readonly Ticket[]): Promise<number> {
  let published = 0
  for (let from = 0; from < tickets.length; from += publishedAtOnce) {
    const { accepted } = await publisher.publish(tickets.slice(from, from + publishedAtOnce))
    if (accepted.length === 0) break
    published += accepted.length
  }
  return published
}

/** In the order of their dispatch; undefined if there are too many. */
async function readyTickets(
  log: JobLog,
  { logId }: LogInfo,
  queue: QueueName,
): Promise<readonly Ticket[] | undefined> {
  const tickets: Ticket[] = []
  let after: string | undefined
  do {
    const page = await log.list({ queue, state: 'ready' }, { limit: pageSize, after })
    tickets.push(...page.map(({ id, lane }) => ({ id, queue, lane, log: logId })))
    after = page.length === pageSize ? page.at(-1)?.id : undefined
  } while (after !== undefined && tickets.length <= mostTickets)
  return after === undefined ? tickets.toReversed() : undefined
}

/** Expedites as many jobs as are ready now: relays give jobs a new grace at the same time. Returns how many. */
async function expediteAll(log: JobLog, queue: QueueName): Promise<number> {
  const found = (await log.queues()).find(({ name }) => name === queue)
  if (!found) return 0
  for (let left = readyAtMost(found); left > 0;) {
    const { jobs, more } = await log.expedite([queue], { limit: publishedAtOnce })
    left -= jobs
    if (!more) break
  }
  return found.ready
}
