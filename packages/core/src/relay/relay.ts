import { relayDefaults } from '../config/defaults.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { JobLog, LostForGood, SweepOptions, SweepReport } from '../ports/job-log.ts'
import type { Ticker } from '../schedule/ticker.ts'
import { supervised } from '../supervise.ts'
import { Republish } from './republish.ts'
import type { RepublishParts } from './republish.ts'
import { isObserved, trace } from '../telemetry/channels.ts'
import { waitFor } from '../wait.ts'

export interface RelayParts extends RepublishParts {
  readonly log: JobLog
  readonly publisher: Publisher
  /** The longest sleep between two sweeps. After a gap of a third of the shortest lease the log calls nothing lost for a while. */
  readonly everyMs: number
  /** How long a first ticket has to fetch its job. */
  readonly publishGraceMs: number
  /** Dispatches what is due of schedules. */
  readonly ticker?: Pick<Ticker, 'known' | 'tick'> | undefined
  /** Called for each job that failed for good because its last run was lost. Must not throw. */
  readonly failed: (lost: LostForGood) => Promise<void>
  /** A source of numbers from 0 to 1, for jitter. */
  readonly random?: (() => number) | undefined
}

const retryMinMs = 100
const retryMaxMs = 10_000
/** If this many publishes and hooks for lost jobs are under way, the sweeps wait for them. */
const mostInBackground = 100
/** The shortest pause after a sweep that was not full: due jobs that another relay has locked must not cause a tight loop. */
const shortestMs = 20
/** The grace of jobs that the log itself makes ready, or lists to be published again for the first time. */
const firstGraceMs = 30_000

/**
 * Publishes jobs that have become ready and takes back lost ones. Every worker runs one relay. Any number of them share the work.
 */
export class Relay {
  readonly #parts: RelayParts
  readonly #republish: Republish
  readonly #background = new Set<Promise<void>>()
  #dueMs = Number.POSITIVE_INFINITY
  #wake: (() => void) | undefined

  constructor(parts: RelayParts) {
    this.#parts = parts
    this.#republish = new Republish(parts)
  }

  /** Sweeps until the signal aborts. Resolves when everything that it has begun is done. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts
    await supervised((healthy) => this.#loop(stop, healthy), {
      what: 'the relay',
      signal: stop,
      clock,
      logger,
      minMs: retryMinMs,
      maxMs: retryMaxMs,
    })
    await Promise.all(this.#background)
  }

  /** A job of this process will be due then: sweep at that time instead of waiting for the next regular sweep. */
  dueIn(ms: number): void {
    const atMs = this.#parts.clock.monotonicMs() + ms
    if (atMs >= this.#dueMs) return
    this.#dueMs = atMs
    this.#wake?.()
  }

  /** The broker has let this process subscribe again. It may have lost the earlier tickets. */
  returned(queue: QueueName): void {
    this.#republish.returned(queue)
  }

  async #loop(stop: AbortSignal, healthy: () => void): Promise<void> {
    while (!stop.aborted) {
      // The sweep itself reports jobs that are due later than this.
      this.#dueMs = Number.POSITIVE_INFINITY
      const waitMs = await this.#pass()
      healthy()
      if (waitMs > 0) await this.#sleep(waitMs, stop)
    }
  }

  async #sleep(waitMs: number, stop: AbortSignal): Promise<void> {
    const { clock } = this.#parts
    const beganMs = clock.monotonicMs()
    while (!stop.aborted) {
      const untilMs = Math.max(beganMs + shortestMs, Math.min(beganMs + waitMs, this.#dueMs))
      const leftMs = untilMs - clock.monotonicMs()
      // Clocks count in fractions of a millisecond. A wait below one might never pass, so it counts as none.
      if (leftMs < 1) return
      await waitFor<void>(stop, undefined, (wake) => {
        this.#wake = wake
        return clock.after(Math.ceil(leftMs), wake)
      })
    }
  }

  /** Runs one sweep. Returns how long to sleep after it, in milliseconds. */
  async #pass(): Promise<number> {
    const { log } = this.#parts
    const skipQueues = await this.#republish.skipQueues()
    await this.#expedite()
    const report = await sweepIn(log, {
      limit: relayDefaults.sweepLimit,
      republish: this.#republish.isOn,
      queues: this.#parts.queues,
      skipQueues,
      schedules: this.#parts.ticker?.known,
    })
    if (report.ran) {
      this.#publish(report)
      if (report.lost > 0) {
        this.#parts.logger.warn(
          { runs: report.lost },
          'runs were lost with their workers; their jobs run again',
        )
      }
      await this.#tell(report.failed)
    }
    return Math.min(await this.#tick(report.schedules), this.#waitMs(report))
  }

  /** Returns when the first of these schedules is due again, in milliseconds. */
  async #tick(names: readonly string[]): Promise<number> {
    const { ticker, logger } = this.#parts
    if (names.length === 0 || !ticker) return Number.POSITIVE_INFINITY
    try {
      const againInMs = await ticker.tick(names)
      return againInMs === undefined ? Number.POSITIVE_INFINITY : Math.max(shortestMs, againInMs)
    } catch (error) {
      logger.warn({ err: error }, 'schedules could not tick; the next sweep tries again')
      return Number.POSITIVE_INFINITY
    }
  }

  /**
   * One batch in each pass. Jobs with no more than a first grace left are not touched, so that a fleet whose relays all
   * suspect the same queue publishes each job once.
   */
  async #expedite(): Promise<void> {
    const { log, logger, publishGraceMs } = this.#parts
    const queues = this.#republish.inDoubt
    if (queues.length === 0) return
    const leftMs = Math.max(publishGraceMs, firstGraceMs)
    const { jobs, more } = await log.expedite(queues, { limit: relayDefaults.sweepLimit, leftMs })
    if (jobs > 0) logger.info({ queues, jobs }, 'tickets may be gone: their jobs are published again')
    if (!more) this.#republish.expedited(queues)
  }

  #waitMs({ ran, full, nextDueInMs }: SweepReport): number {
    const { everyMs, random = Math.random } = this.#parts
    // A rate limits what is published again, so a full pass of such jobs is no reason to sweep again at once.
    if (ran && full) return this.#republish.isExhausted ? everyMs / 10 : 0
    // Jitter, so that the relays of a fleet do not sweep together; never longer than the log's gap.
    const longestMs = everyMs * (0.5 + random() / 2)
    return Math.max(shortestMs, Math.min(nextDueInMs ?? Number.POSITIVE_INFINITY, longestMs))
  }

  /** The caller does not await it: a broker that does not answer must not delay the sweeps. */
  #publish(report: SweepReport): void {
    const again = new Set(report.republished.map((ticket) => ticket.id))
    const fresh = report.tickets.filter((ticket) => !again.has(ticket.id))
    if (fresh.length > 0) void this.#parts.publisher.publish(fresh)
    if (report.republished.length > 0) {
      this.#inBackground(
        this.#publishAgain(report.republished).catch((error: unknown) => {
          this.#parts.logger.warn({ err: error }, 'overdue jobs could not be published again')
        }),
      )
    }
  }

  async #publishAgain(republished: readonly Ticket[]): Promise<void> {
    const tickets = await this.#republish.allowed(republished)
    if (tickets.length === 0) return
    const { accepted } = await this.#parts.publisher.publish(tickets)
    this.#republish.published(tickets, new Set(accepted.map((ticket) => ticket.id)))
    // Only tickets that the broker has confirmed get a longer grace. The others must be published again soon.
    if (accepted.length > 0) await this.#parts.log.published(accepted)
  }

  async #tell(failed: readonly LostForGood[]): Promise<void> {
    for (const lost of failed) {
      this.#inBackground(this.#parts.failed(lost))
      if (this.#background.size >= mostInBackground) await Promise.race(this.#background)
    }
  }

  #inBackground(work: Promise<void>): void {
    this.#background.add(work)
    void work.then(() => this.#background.delete(work))
  }
}

function sweepIn(log: Pick<JobLog, 'sweep'>, options: SweepOptions): Promise<SweepReport> {
  if (!isObserved('sweep')) return log.sweep(options)
  return trace('sweep', { queues: options.queues }, async (context) => {
    const report = await log.sweep(options)
    context.report = report
    return report
  })
}
