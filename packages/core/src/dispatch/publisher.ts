import { batcher } from '../batching.ts'
import type { Settings } from '../config/defaults.ts'
import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { CallOptions, Driver, PublishReport } from '../ports/driver.ts'
import type { JobLog, Topic } from '../ports/job-log.ts'
import { isObserved, trace } from '../telemetry/channels.ts'
import { unlessAborted } from '../unless-aborted.ts'
import { Packing } from './packing.ts'

/** Passes tickets to the driver, unless the broker is known to be down. */
export interface Publisher {
  /**
   * Publishes, in a batch with other waiting tickets. Never rejects. Tickets that the broker did not accept are not in
   * `accepted`, and the relay publishes them later. Wakes the queues, if the driver's subscriptions listen to that.
   * @param woken the caller has done so, or the log with the jobs.
   */
  publish(tickets: readonly Ticket[], woken?: boolean): Promise<PublishReport>
  /** Why the broker is down; undefined if it is not. Set by a publish that failed or had no answer, until one is answered. */
  readonly down: string | undefined
  /** Resolves when nothing is under way. Tickets that a broker does not take within a second are left to the relay. */
  close(): Promise<void>
}

/** The part for the instance, which learns when the driver moves. */
export interface MovablePublisher extends Publisher {
  /** The driver leads elsewhere now. What is known of the old broker says nothing about the new one. */
  moved(): void
}

export interface PublisherDeps {
  readonly driver: Driver
  readonly log: Pick<JobLog, 'served' | 'notify'>
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Settings
}

type Fate = { readonly fate: 'accepted' | 'unknown' } | { readonly fate: 'refused'; readonly why: string }

const unknown: Fate = { fate: 'unknown' }
/** While the broker is down, one publish in this time checks whether it is back. */
const probeEveryMs = 1_000
/** Batches under way at once. A broker answers when it has stored the tickets safely, and gets the next ones before that. */
const lines = 4
/** How long closing waits for a broker. */
const closeWaitMs = 1_000
/** At most this many tickets are kept in memory for a slow broker. The relay publishes the others from the log. */
const mostWaiting = 20_000

export function createPublisher({ driver, log, clock, logger, settings }: PublisherDeps): MovablePublisher {
  const packing = new Packing({ driver, log, clock, logger })
  let down: string | undefined
  let probedAtMs = Number.NEGATIVE_INFINITY
  /** How often the driver has moved. */
  let moves = 0
  const underWay = new Set<AbortController>()
  let givenUp = false

  // At least `probeEveryMs`, even if a dispatch waits for less: an impatient caller does not make a broker slow.
  const slowAfterMs = Math.max(settings.publishWaitMs, probeEveryMs)
  const line = batcher<Ticket, Fate>({ run: send, maxItems: settings.batchItems, lines })

  function setDown(why: string, error?: unknown): void {
    if (down === undefined)
      logger.warn({ driver: driver.name, err: error }, `broker is down (${why}): jobs wait in the log`)
    down = error instanceof Error ? error.message : why
  }
  function setUp(): void {
    if (down !== undefined) logger.info({ driver: driver.name }, 'broker is back')
    down = undefined
  }

  async function send(tickets: readonly Ticket[]): Promise<readonly Fate[]> {
    if (givenUp) return tickets.map(() => unknown)
    probedAtMs = clock.monotonicMs()
    const gaveUp = new AbortController()
    const since = moves
    underWay.add(gaveUp)
    const stopSlow = clock.after(slowAfterMs, () => since === moves && setDown('it does not answer'))
    const stopDeadline = clock.after(settings.publishDeadlineMs, () => gaveUp.abort())
    try {
      const rule = packing.rule(tickets)
      // Awaited only if it is a promise, so that publishes begin in the order of their calls.
      const ticketsPerMessage = rule instanceof Promise ? await rule : rule
      const { signal } = gaveUp
      const publishing = publishTo(driver, tickets, { signal, ticketsPerMessage })
      const report = await unlessAborted(publishing, signal, giveUp)
      if (since === moves) setUp()
      return toFates(tickets, report)
    } catch (error) {
      if (since === moves && !givenUp) setDown('publishing failed', error)
      return tickets.map(() => unknown)
    } finally {
      underWay.delete(gaveUp)
      stopSlow()
      stopDeadline()
    }
  }

  function toFates(tickets: readonly Ticket[], report: PublishReport): readonly Fate[] {
    const fates = new Map<string, Fate>(report.accepted.map(({ id }) => [id, { fate: 'accepted' }]))
    for (const { ticket, why } of report.refused) fates.set(ticket.id, { fate: 'refused', why })
    const [first] = report.refused
    if (first) {
      const { queue } = first.ticket
      logger.warn(
        { driver: driver.name, queue, tickets: report.refused.length, why: first.why },
        'broker refused tickets',
      )
    }
    return tickets.map(({ id }) => fates.get(id) ?? unknown)
  }

  /** Whether publishing makes sense now. If not, the job is in the log, and the relay or a worker gets it from there. */
  function isWorthwhile(count: number): boolean {
    if (line.size + count > mostWaiting) return false
    return down === undefined || (line.size === 0 && clock.monotonicMs() - probedAtMs >= probeEveryMs)
  }

  return {
    get down() {
      return down
    },
    async publish(tickets, woken = false) {
      if (tickets.length === 0 || !isWorthwhile(tickets.length)) return { accepted: [], refused: [] }
      if (driver.capabilities.wakes === true && !woken)
        void log.notify(listQueueTopics(tickets)).catch(() => undefined) // Idle lanes also have turns.
      const fates = await Promise.all(tickets.map((ticket) => line.add(ticket).catch(() => unknown)))
      const accepted = tickets.filter((_, index) => fates[index]?.fate === 'accepted')
      const refused = tickets.flatMap((ticket, index) => {
        const fate = fates[index]
        return fate?.fate === 'refused' ? [{ ticket, why: fate.why }] : []
      })
      return { accepted, refused }
    },
    moved() {
      moves += 1
      down = undefined
      probedAtMs = Number.NEGATIVE_INFINITY
      for (const gaveUp of underWay) gaveUp.abort()
    },
    async close() {
      const stop = clock.after(closeWaitMs, () => {
        givenUp = true
        for (const gaveUp of underWay) gaveUp.abort()
      })
      await line.close()
      stop()
    },
  }
}

/**
 * Publishes, and waits a short time for the broker's answer. The relay publishes what the broker has not accepted by then.
 * It does not wait while the broker is known to be down.
 */
export async function publishWithin(
  publisher: Publisher,
  tickets: readonly Ticket[],
  waitMs: number,
  clock: Clock,
  woken?: boolean,
): Promise<void> {
  if (tickets.length === 0) return
  const answered = publisher.publish(tickets, woken)
  if (publisher.down !== undefined) return
  await inTime(answered, waitMs, clock, () => undefined)
}

/** Wakes workers for jobs that the log has made ready, and publishes their tickets. Nobody waits for it. */
export function publishAndWake(log: JobLog, publisher: Publisher, tickets: readonly Ticket[]): void {
  if (tickets.length === 0) return
  // Waiters also poll.
  void log.notify(['events', ...listQueueTopics(tickets)]).catch(() => undefined)
  void publisher.publish(tickets, true)
}

export function listQueueTopics(jobs: readonly { readonly queue: QueueName }[]): readonly Topic[] {
  return [...new Set(jobs.map(({ queue }) => queue))].map((queue): Topic => `queue:${queue}`)
}

function publishTo(driver: Driver, tickets: readonly Ticket[], call: CallOptions): Promise<PublishReport> {
  if (!isObserved('publish')) return driver.publish(tickets, call)
  return trace('publish', { driver: driver.name, tickets }, async (context) => {
    const report = await driver.publish(tickets, call)
    context.report = report
    return report
  })
}

function giveUp(): never {
  throw new ErrandError('E_DRIVER', 'the broker did not answer in time')
}
