import type { Message } from '@aws-sdk/client-sqs'
import { decodeTicket } from '@errand/core/driver-kit'
import type { Clock, Delivery, ErrandError, Logger, QueueName, Subscription } from '@errand/core/ports'
import { lowestLaneEvery, toFailure } from '@errand/core/ports'
import { batchSize } from './api.ts'
import { Received } from './delivery.ts'
import { sqsErrors } from './errors.ts'
import type { LaneQueue } from './lane-queue.ts'
import { Pace } from './pace.ts'
import { LanePolls } from './poll.ts'
import { keptMs, Shelf } from './shelf.ts'

export interface SqsSubscriptionOptions {
  readonly queue: QueueName
  /** Highest first. */
  readonly lanes: readonly LaneQueue[]
  readonly visibilitySeconds: number
  readonly logger: Logger
  readonly clock: Clock
  readonly onClosed: () => void
}

interface Ask {
  readonly max: number
  answer(deliveries: readonly Delivery[]): void
  reject(error: ErrandError): void
}

/** How long open polls may go on after a stop, so that what is on its way is handed back and not lost to its visibility. */
const stopMs = 500
/** How long a stop may take in all. What is not handed back or deleted by then goes on without it, or comes again. */
const longestStopMs = 1_000

/**
 * Keeps long polls open on all lanes while somebody asks, and more on a lane that has tickets. A poll outlives the ask
 * that opened it, because an aborted one may already have taken tickets, which are then hidden until their visibility
 * ends: the next ask finds it open, and without one what it brings is handed back.
 */
export class SqsSubscription implements Subscription {
  readonly #options: SqsSubscriptionOptions
  readonly #lanes: readonly LanePolls[]
  readonly #shelf: Shelf
  readonly #pace = new Pace()
  readonly #unacked = new Set<Received>()
  readonly #settling = new Set<Promise<void>>()
  readonly #polls = new Set<Promise<void>>()
  readonly #aborted = new AbortController()
  #asks: Ask[] = []
  #lastAskedMs: number
  #timer: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(options: SqsSubscriptionOptions) {
    this.#options = options
    this.#lanes = options.lanes.map((queue) => new LanePolls(queue))
    this.#shelf = new Shelf(options.visibilitySeconds * 1_000)
    this.#lastAskedMs = options.clock.monotonicMs()
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

  /** After everything that happens: answers what can be answered, opens what is needed, hands back what nobody wants. */
  #advance(): void {
    this.#timer?.()
    this.#timer = undefined
    if (this.#closing) return
    const now = this.#options.clock.monotonicMs()
    this.#shelf.takeExpired(now)
    // Before the answer: a lane that has tickets goes before what came from lower ones.
    if (this.#asks.length > 0) this.#fetch(now)
    this.#answer(now)
    if (this.#asks.length > 0) this.#listen(now)
    this.#handBack(this.#shelf.takeDue(now))
    this.#wakeLater(now)
  }

  #answer(now: number): void {
    for (let ask = this.#asks[0]; ask && !this.#shelf.isEmpty; ask = this.#asks[0]) {
      const floor = this.#lanes.find((lane) => lane.settlesAtMs > now)?.queue.lane
      const taken = this.#shelf.take(ask.max, floor)
      if (taken.length === 0) return
      this.#pace.took(taken.length, now)
      for (const received of taken) this.#unacked.add(received)
      ask.answer(taken.map((received) => this.#deliver(received)))
    }
  }

  #deliver(received: Received): Delivery {
    // A failure costs a duplicate or latency, never a job: the claim refuses the one, its visibility ends the other.
    return {
      ticket: received.ticket,
      ack: async () => {
        this.#unacked.delete(received)
        // Not awaited: it becomes one of ten deletes. A close waits for it.
        void this.#settle(received.ack())
      },
      release: async () => {
        this.#unacked.delete(received)
        await this.#settle(received.release())
      },
    }
  }

  /** One long poll on each lane that is not known to have tickets: a high job waits for no other lane's poll. */
  #listen(now: number): void {
    for (const lane of this.#lanes) {
      if (lane.flows(now) || lane.isListening || lane.remainingMs(now) > 0) continue
      this.#poll(
        lane,
        Math.min(batchSize, Math.max(this.#demand, this.#pace.expected(now))),
        lane.listenSeconds,
      )
    }
  }

  /** As many polls as the demand needs on the highest lane that has tickets, and the lowest one's share. */
  #fetch(now: number): void {
    const flowing = this.#lanes.filter((lane) => lane.flows(now) && lane.remainingMs(now) <= 0)
    const top = flowing[0]
    const lowest = flowing.at(-1)
    if (!top || !lowest) return
    const demand = this.#demand
    const share = top === lowest ? 0 : this.#shelf.fromLowest(demand)
    const expected = this.#pace.expected(now)
    const shareMissing = share - this.#shelf.countOf(lowest.queue.lane) - lowest.asked
    this.#open(lowest, shareMissing, Math.floor(expected / lowestLaneEvery))
    this.#open(top, demand - share - this.#shelf.countDownTo(top.queue.lane) - top.asked, expected)
  }

  /**
   * Polls that do not wait: tickets are there, and if they are not, lower lanes come next. Where tickets go as fast as
   * that, as many as will be asked for in a moment: a poll for one costs as much as one for ten.
   */
  #open(lane: LanePolls, missing: number, expected: number): void {
    let left = missing
    for (let room = lane.room; left > 0 && room > 0; room -= 1) {
      const asked = Math.min(batchSize, Math.max(left, expected))
      this.#poll(lane, asked, 0)
      left -= asked
    }
  }

  #poll(lane: LanePolls, asked: number, waitSeconds: number): void {
    const polled = this.#polled(lane, asked, waitSeconds)
    this.#polls.add(polled)
    void polled.finally(() => this.#polls.delete(polled))
  }

  async #polled(lane: LanePolls, asked: number, waitSeconds: number): Promise<void> {
    const { signal } = this.#aborted
    const { messages, error } = await lane.poll(asked, waitSeconds, this.#options.clock, signal)
    if (error && signal.aborted) return
    if (error) this.#failed(lane, error)
    else this.#arrived(lane, messages)
    this.#advance()
  }

  #arrived({ queue }: LanePolls, messages: readonly Message[]): void {
    const now = this.#options.clock.monotonicMs()
    const received: Received[] = []
    for (const { Body, ReceiptHandle, MessageId } of messages) {
      if (ReceiptHandle === undefined) continue
      const { ticket, why } = decodeTicket(Body)
      if (ticket) received.push(new Received(ticket, ReceiptHandle, queue, now))
      else this.#setAside(queue, ReceiptHandle, { messageId: MessageId, why })
    }
    if (this.#closing || (this.#asks.length === 0 && now - this.#lastAskedMs >= keptMs))
      this.#handBack(received)
    else this.#shelf.put(received)
  }

  #setAside(queue: LaneQueue, handle: string, about: object): void {
    const { logger } = this.#options
    // Not its text: nobody knows what is in it.
    logger.warn(
      { driver: 'sqs', sqsQueue: queue.name, ...about },
      'a message that is not a ticket was deleted',
    )
    void this.#settle(queue.delete(handle))
  }

  #failed(lane: LanePolls, error: ErrandError): void {
    const { clock, logger, queue } = this.#options
    const waitMs = lane.queue.backoff.failed(clock.monotonicMs())
    const failure = { driver: 'sqs', queue, lane: lane.queue.lane, waitMs, error: toFailure(error) }
    // What all queues meet is said once by whoever asks; the others of one lane by that lane.
    if (sqsErrors.isCommon(error) || !lane.queue.news.isNew(error.message))
      logger.debug(failure, 'receiving tickets failed; this lane is tried again')
    else if (sqsErrors.isFinal(error))
      logger.error(failure, 'receiving tickets failed until somebody helps; this lane is tried again')
    else logger.warn(failure, 'receiving tickets failed; this lane is tried again')
    // While one lane answers the others go on.
    if (!this.#lanes.every(({ isDown }) => isDown)) return
    for (const ask of this.#asks) ask.reject(error)
  }

  #handBack(received: readonly Received[]): void {
    for (const each of received) void this.#settle(each.release())
  }

  /** Never rejects. */
  #settle(settling: Promise<void>): Promise<void> {
    const settled = settling
      .catch((error: unknown) => {
        const { logger, queue } = this.#options
        logger.warn(
          { driver: 'sqs', queue, error: toFailure(error) },
          'a ticket stays until its visibility ends',
        )
      })
      .finally(() => this.#settling.delete(settled))
    this.#settling.add(settled)
    return settled
  }

  get #demand(): number {
    return this.#asks.reduce((sum, { max }) => sum + max, 0)
  }

  /** At the next moment at which time alone changes something. */
  #wakeLater(now: number): void {
    const asked = this.#asks.length > 0
    const moments = this.#lanes.flatMap((lane) => {
      const fresh = lane.settlesAtMs > now && (asked || !this.#shelf.isEmpty) ? [lane.settlesAtMs] : []
      const pauseMs = lane.remainingMs(now)
      return asked && pauseMs > 0 ? [...fresh, now + pauseMs] : fresh
    })
    const dueMs = this.#shelf.dueMs
    if (dueMs !== undefined) moments.push(dueMs)
    if (moments.length === 0) return
    const delayMs = Math.max(1, Math.min(...moments) - now)
    this.#timer = this.#options.clock.after(delayMs, () => this.#advance())
  }

  async #end(): Promise<void> {
    this.#timer?.()
    const { clock } = this.#options
    const timers = new AbortController()
    const late = clock.sleep(longestStopMs, timers.signal)
    for (const ask of this.#asks) ask.answer([])
    this.#handBack(this.#shelf.takeAll())
    this.#handBack([...this.#unacked])
    this.#unacked.clear()
    await Promise.race([Promise.all(this.#polls), clock.sleep(stopMs, timers.signal)])
    this.#aborted.abort()
    for (const lane of this.#lanes) lane.queue.flush()
    await Promise.race([this.#allSettled(), late])
    timers.abort()
    this.#options.onClosed()
  }

  async #allSettled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling)
  }
}
