import type { ErrandError } from '../errors.ts'
import { toFailure } from '../failure/to-failure.ts'
import { lowestLaneEvery } from '../job/lane-policy.ts'
import { inTime } from '../in-time.ts'
import type { Clock } from '../ports/clock.ts'
import type { Delivery, Subscription } from '../ports/driver.ts'
import type { Topic } from '../ports/job-log.ts'
import type { ErrorTable } from './errors.ts'
import { HandOvers } from './hand-overs.ts'
import type { HandOversOptions } from './hand-overs.ts'
import { answeredMs, LanePoller } from './lane-poller.ts'
import type { IdlePolls } from './idle-polls.ts'
import type { LaneSource, SourceMessage } from './message-source.ts'
import { Pace } from './pace.ts'
import { QueueNews } from './queue-news.ts'
import { keptMs, TicketBuffer } from './ticket-buffer.ts'

export interface LaneSubscriptionOptions extends HandOversOptions {
  /** Highest lane first. */
  readonly sources: readonly LaneSource[]
  readonly clock: Clock
  /** The most messages that the broker gives for one receive. Default 10. */
  readonly batchSize?: number | undefined
  /** How long a receive may wait for the first message. Default 20 s. */
  readonly longestWaitMs?: number | undefined
  /** How long the broker hides a message that was received. Default: until it is handed back. */
  readonly hiddenMs?: number | undefined
  /** What the broker's errors mean. Default: each concerns one lane, and passes. */
  readonly errors?: Pick<ErrorTable<string>, 'isCommon' | 'isFinal'> | undefined
  /** Bounds the polls of idle lanes. Default: each lane always has one. */
  readonly idle?: LaneIdling | undefined
}

/** For brokers where a poll has a price. Set `capabilities.wakes`, so that core wakes a queue whenever it publishes. */
export interface LaneIdling {
  /** One for all subscriptions of a driver. */
  readonly polls: IdlePolls
  /** The log's wake-ups of this queue: `(signal) => log.wakeups([`queue:${queue}`], signal)`. */
  readonly wakeups: (signal: AbortSignal) => AsyncIterable<Topic | 'started'>
}

interface Ask {
  readonly max: number
  answer(deliveries: readonly Delivery[]): void
  reject(error: ErrandError): void
}

const noErrors = { isCommon: () => false, isFinal: () => false }
/** How long open polls may go on after a stop, so that tickets on their way are handed back and do not stay hidden. */
const stopMs = 500
/** How long a stop may take in all. Acks and hand-backs that take longer go on without it. If they fail, tickets come again. */
const longestStopMs = 1_000

/**
 * A subscription over one source for each lane, for brokers that are polled and hide messages until they are acked. It does
 * what every driver must do. Higher lanes go first, and the lowest one gets its share. No ticket is kept for longer than
 * 500 ms between two asks. Each delivery is handed over once. Messages that are no tickets are set aside. A close hands back
 * the rest.
 *
 * While somebody asks, it keeps long polls open on all lanes, and more on a lane that has tickets. With `idle`, and more lanes
 * than polls, idle lanes have one in turns, and a wake-up of the queue opens one on each of its lanes. A poll outlives the ask
 * that opened it, because an aborted poll may have taken tickets already, which would then stay hidden. The next ask uses
 * the open poll. If there is no next ask, the tickets that it brings are handed back.
 */
export class LaneSubscription implements Subscription {
  readonly #options: LaneSubscriptionOptions
  readonly #lanes: readonly LanePoller[]
  readonly #buffer: TicketBuffer
  readonly #batchSize: number
  readonly #errors: Pick<ErrorTable<string>, 'isCommon' | 'isFinal'>
  readonly #pace = new Pace()
  readonly #handOvers: HandOvers
  readonly #polls = new Set<Promise<void>>()
  readonly #aborted = new AbortController()
  #asks: Ask[] = []
  #lastAskedMs: number
  #timer: (() => void) | undefined
  #closing: Promise<void> | undefined
  #news: QueueNews | undefined

  constructor(options: LaneSubscriptionOptions) {
    const { sources, clock, longestWaitMs = 20_000, batchSize = 10, hiddenMs = Infinity } = options
    const errors = options.errors ?? noErrors
    this.#options = options
    this.#errors = errors
    this.#batchSize = batchSize
    this.#lanes = sources.map((source) => new LanePoller({ source, clock, longestWaitMs, errors }))
    this.#buffer = new TicketBuffer(hiddenMs)
    this.#handOvers = new HandOvers(options)
    this.#lastAskedMs = options.clock.monotonicMs()
    options.idle?.polls.join(sources.length)
  }

  next(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    if (this.#closing || signal.aborted || max < 1) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const end = (): void => {
        signal.removeEventListener('abort', giveUp)
        this.#asks = this.#asks.filter((each) => each !== ask)
        this.#lastAskedMs = this.#options.clock.monotonicMs()
      }
      const ask: Ask = {
        max,
        answer: (deliveries) => {
          end()
          resolve(deliveries)
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
      const giveUp = (): void => {
        ask.answer([])
        this.#advance()
      }
      signal.addEventListener('abort', giveUp)
      this.#asks.push(ask)
      this.#advance()
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  /** Runs after every change: answers asks, opens the polls that are needed, hands back tickets that nobody wants. */
  #advance(): void {
    this.#timer?.()
    this.#timer = undefined
    if (this.#closing) return
    const now = this.#options.clock.monotonicMs()
    this.#buffer.takeExpired(now)
    // Before the answer: a higher lane that has tickets goes before tickets that came from lower ones.
    if (this.#asks.length > 0) this.#fetch(now)
    this.#answer(now)
    if (this.#asks.length > 0) this.#listen(now)
    this.#handOvers.handBack(this.#buffer.takeDue(now, this.#keepMs))
    this.#wakeLater(now)
  }

  #answer(now: number): void {
    for (let ask = this.#asks[0]; ask && !this.#buffer.isEmpty; ask = this.#asks[0]) {
      const floor = this.#lanes.find((lane) => lane.settlesAtMs > now)?.source.lane
      const taken = this.#buffer.take(ask.max, floor)
      if (taken.length === 0) return
      this.#pace.took(taken.filter(({ extra }) => !extra).length, now)
      ask.answer(taken.map((received) => this.#handOvers.deliver(received)))
    }
  }

  /** Opens a long poll on each lane that is not known to have tickets, so that no lane waits for another lane's poll. */
  #listen(now: number): void {
    const { idle } = this.#options
    const isHeard = idle?.polls.isScarce === true ? this.#hear(idle).isHeard : false
    for (const lane of this.#lanes) {
      if (!this.#isQuiet(lane, now) || (isHeard === undefined && !lane.isUrgent)) continue
      if (idle && isHeard === true && !lane.isUrgent) idle.polls.request(lane, () => this.#begin(lane))
      else this.#listenTo(lane, now)
    }
  }

  /** Nothing has to be known of its tickets, and no poll would tell. */
  #isQuiet(lane: LanePoller, now: number): boolean {
    return !lane.flows(now) && !lane.isListening && lane.remainingMs(now) <= 0
  }

  /** The turn of an idle lane has come. */
  #begin(lane: LanePoller): boolean {
    const now = this.#options.clock.monotonicMs()
    if (this.#closing || this.#asks.length === 0 || !this.#isQuiet(lane, now)) return false
    this.#listenTo(lane, now)
    return true
  }

  #listenTo(lane: LanePoller, now: number): void {
    const tickets = Math.max(this.#demand, this.#pace.expected(now))
    this.#poll(lane, this.#messagesFor(lane, tickets), lane.listenMs)
  }

  /** Listens from the first moment at which lanes have to wait for their turn. */
  #hear({ wakeups }: LaneIdling): QueueNews {
    const { clock, logger } = this.#options
    const changed = (): void => this.#advance()
    const woken = (): void => {
      for (const lane of this.#lanes) lane.wake()
      this.#advance()
    }
    this.#news ??= new QueueNews({ wakeups, signal: this.#aborted.signal, clock, logger, woken, changed })
    return this.#news
  }

  /** Opens as many polls as the demand needs: on the highest lane that has tickets, and for the lowest lane's share. */
  #fetch(now: number): void {
    const flowing = this.#lanes.filter((lane) => lane.flows(now) && lane.remainingMs(now) <= 0)
    const top = flowing[0]
    const lowest = flowing.at(-1)
    if (!top || !lowest) return
    const demand = this.#demand
    const share = top === lowest ? 0 : this.#buffer.fromLowest(demand)
    const expected = this.#pace.expected(now)
    const shareMissing = share - this.#buffer.countIn(lowest.source.lane) - lowest.asked
    this.#open(lowest, shareMissing, Math.floor(expected / lowestLaneEvery))
    this.#open(top, demand - share - this.#buffer.countDownTo(top.source.lane) - top.asked, expected)
  }

  /**
   * Opens polls that do not wait: tickets are probably there, and if not, lower lanes come next. If tickets are asked for
   * quickly, it fetches those of the next moment too: a poll for one ticket costs as much as a poll for ten.
   */
  #open(lane: LanePoller, missing: number, expected: number): void {
    let left = missing
    for (let room = lane.room; left > 0 && room > 0; room -= 1) {
      const asked = this.#messagesFor(lane, Math.max(left, expected))
      this.#poll(lane, asked, 0)
      left -= lane.size.ticketsIn(asked)
    }
  }

  #messagesFor(lane: LanePoller, tickets: number): number {
    return Math.min(this.#batchSize, lane.size.messagesFor(tickets))
  }

  #poll(lane: LanePoller, asked: number, waitMs: number): void {
    const polled = this.#polled(lane, asked, waitMs)
    this.#polls.add(polled)
    void polled.finally(() => this.#polls.delete(polled))
  }

  async #polled(lane: LanePoller, asked: number, waitMs: number): Promise<void> {
    const { signal } = this.#aborted
    const { messages, error } = await lane.poll(asked, waitMs, signal)
    this.#options.idle?.polls.end(lane)
    if (error && signal.aborted) return
    if (error) this.#failed(lane, error)
    else this.#arrived(lane, messages)
    this.#advance()
  }

  #arrived(lane: LanePoller, messages: readonly SourceMessage[]): void {
    const now = this.#options.clock.monotonicMs()
    const received = this.#handOvers.receive(lane.source, messages, now)
    lane.size.learn(messages.length, received.length)
    if (this.#closing || (this.#asks.length === 0 && now - this.#lastAskedMs >= keptMs))
      this.#handOvers.handBack(received)
    else this.#buffer.put(received)
  }

  #failed(lane: LanePoller, error: ErrandError): void {
    const { clock, logger, driver, queue } = this.#options
    const waitMs = lane.backoff.failed(clock.monotonicMs())
    const failure = { driver, queue, lane: lane.source.lane, waitMs, error: toFailure(error) }
    // The caller logs errors that all queues meet. A lane logs only its own.
    if (this.#errors.isCommon(error) || !lane.news.isNew(error.message))
      logger.debug(failure, 'receiving tickets failed; this lane is tried again')
    else if (this.#errors.isFinal(error))
      logger.error(
        failure,
        'receiving tickets failed, and somebody must fix the cause; this lane is tried again',
      )
    else logger.warn(failure, 'receiving tickets failed; this lane is tried again')
    // While one lane answers, the subscription goes on.
    if (!this.#lanes.every(({ isDown }) => isDown)) return
    for (const ask of this.#asks) ask.reject(error)
  }

  get #demand(): number {
    return this.#asks.reduce((sum, { max }) => sum + max, 0)
  }

  /** Tickets of a lower lane that somebody asks for may have to wait for the poll of a higher one. Handed back, they would come again. */
  get #keepMs(): number {
    return this.#asks.length > 0 ? answeredMs : keptMs
  }

  /** Wakes at the next moment at which only time changes something. */
  #wakeLater(now: number): void {
    const asked = this.#asks.length > 0
    const moments = this.#lanes.flatMap((lane) => {
      const fresh = lane.settlesAtMs > now && (asked || !this.#buffer.isEmpty) ? [lane.settlesAtMs] : []
      const pauseMs = lane.remainingMs(now)
      return asked && pauseMs > 0 ? [...fresh, now + pauseMs] : fresh
    })
    const dueMs = this.#buffer.findDueMs(this.#keepMs)
    if (dueMs !== undefined) moments.push(dueMs)
    if (moments.length === 0) return
    const delayMs = Math.max(1, Math.min(...moments) - now)
    this.#timer = this.#options.clock.after(delayMs, () => this.#advance())
  }

  async #end(): Promise<void> {
    this.#timer?.()
    const { clock, idle } = this.#options
    idle?.polls.leave(this.#lanes)
    const settled = new AbortController()
    const late = clock.sleep(longestStopMs, settled.signal)
    for (const ask of this.#asks) ask.answer([])
    this.#handOvers.handBack(this.#buffer.takeAll())
    this.#handOvers.handBackAll()
    await inTime(Promise.all(this.#polls), stopMs, clock, () => undefined)
    this.#aborted.abort()
    for (const lane of this.#lanes) lane.source.flush?.()
    await Promise.race([this.#handOvers.settled(), late])
    settled.abort()
  }
}
