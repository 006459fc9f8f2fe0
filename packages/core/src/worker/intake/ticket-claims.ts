import { batcher } from '../../batching.ts'
import type { Batcher } from '../../batching.ts'
import { workerDefaults } from '../../config/defaults.ts'
import { isErrandError } from '../../errors.ts'
import type { Lane } from '../../job/lane.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Delivery } from '../../ports/driver.ts'
import { jittered } from '../../supervise.ts'
import type { Demand } from './demand.ts'
import type { PauseGate } from './pause-gate.ts'
import type { Grants } from './grants.ts'
import type { Seats } from './seats.ts'
import type { Runner } from '../run/runner.ts'
import type { Runs } from '../run/runs.ts'

export interface TicketClaimsParts {
  readonly grants: Grants
  readonly demand: Demand
  readonly gate: PauseGate
  readonly runs: Runs
  readonly runner: Runner
  readonly clock: Clock
  readonly logger: Logger
  /** The limit of this queue leaves no place. */
  readonly full: (queue: QueueName) => void
}

/** After an `again`, the same tickets are asked for once more this much later, and this often. */
const againMs = 50
const againRounds = 5
/** The weight of one batch of verdicts in the average share of stale tickets. */
const weight = 0.3

/** How many jobs of each lane may still be granted. */
type LaneRoom = Map<Lane, number>

interface Asked {
  readonly deliveries: readonly Delivery[]
  readonly seats: Seats
}

/** Turns deliveries of tickets into claims, in batches, and tells the broker which tickets to forget. */
export class TicketClaims {
  readonly #parts: TicketClaimsParts
  readonly #lines = new Map<QueueName, Batcher<Asked, undefined>>()
  readonly #stale = new Map<QueueName, number>()
  readonly #background = new Set<Promise<void>>()

  constructor(parts: TicketClaimsParts) {
    this.#parts = parts
  }

  /** How many tickets to ask for: as many as slots are free; while most turn out stale, as many as hold so many jobs. */
  demandFor(queue: QueueName, max: number): number {
    const stale = this.#stale.get(queue) ?? 0
    if (stale <= 0.5) return max
    return Math.max(max, Math.min(workerDefaults.staleBatch, Math.ceil(max / (1 - stale))))
  }

  /**
   * Claims what it can and starts it in these seats. Gives the others back, and acks what the log is done with. Tickets
   * that come while a claim of this queue is under way go with the next claim.
   * @throws what the log throws, after every ticket has been handed back.
   */
  async claim(queue: QueueName, deliveries: readonly Delivery[], seats: Seats): Promise<void> {
    await this.#getLine(queue).add({ deliveries, seats })
  }

  #getLine(queue: QueueName): Batcher<Asked, undefined> {
    const known = this.#lines.get(queue)
    if (known) return known
    const run = async (asked: readonly Asked[]): Promise<readonly undefined[]> => {
      using seats = this.#parts.demand.slots.reserve(0).join(asked.map((each) => each.seats))
      await this.#claim(
        queue,
        asked.flatMap(({ deliveries }) => deliveries),
        seats,
      )
      return asked.map(() => undefined)
    }
    const line = batcher({ run, maxItems: Number.POSITIVE_INFINITY })
    this.#lines.set(queue, line)
    return line
  }

  async #claim(queue: QueueName, deliveries: readonly Delivery[], seats: Seats): Promise<void> {
    const room = limitLanes(deliveries)
    const { again, stale } = await this.#round(queue, deliveries, seats, room)
    this.#stale.set(
      queue,
      (1 - weight) * (this.#stale.get(queue) ?? 0) + weight * (stale / deliveries.length),
    )
    if (again.length === 0) return
    // They found no seat, their lane has its share, or there is no slot for another try. Another worker may begin them now,
    // a higher lane goes first here, and a message that goes back at once keeps its place.
    const isWorthIt = seats.left > 0 && this.#parts.demand.slots.free > 0
    const retried = again.filter(({ ticket }) => isWorthIt && (room?.get(ticket.lane) ?? 1) > 0)
    if (retried.length > 0) this.#later(queue, retried, room)
    for (const delivery of again) if (!retried.includes(delivery)) this.#tell(delivery, 'release')
  }

  /** Resolves when no ticket is waiting for its next round. */
  async idle(): Promise<void> {
    await Promise.all(this.#background)
  }

  #later(queue: QueueName, deliveries: readonly Delivery[], room: LaneRoom | undefined): void {
    const rounds = this.#again(queue, deliveries, room).catch((error: unknown) => {
      if (isErrandError(error, 'E_LEASE_OUT')) return
      this.#parts.logger.warn({ err: error }, 'tickets could not be claimed; they were handed back')
    })
    this.#background.add(rounds)
    void rounds.then(() => this.#background.delete(rounds))
  }

  /** Asks once more for tickets whose row was locked, or for which there was no slot. Then it hands them back. */
  async #again(queue: QueueName, deliveries: readonly Delivery[], room: LaneRoom | undefined): Promise<void> {
    const { clock, gate, demand, runs } = this.#parts
    let left = deliveries
    for (let round = 1; round <= againRounds && left.length > 0; round += 1) {
      await clock.sleep(jittered(againMs), gate.signal)
      if (!gate.isOpen || demand.slots.free === 0) break
      const asked = left
      left = []
      left = await runs.asking(async () => {
        using seats = demand.tryBorrow(asked.length)
        return (await this.#round(queue, asked, seats, room)).again
      })
      demand.rebalance()
    }
    for (const delivery of left) this.#tell(delivery, 'release')
  }

  async #round(
    queue: QueueName,
    deliveries: readonly Delivery[],
    seats: Seats,
    room: LaneRoom | undefined,
  ): Promise<{ readonly again: readonly Delivery[]; readonly stale: number }> {
    const { gate, grants, runner } = this.#parts
    let started = 0
    let kept = 0
    const unbegun: Promise<void>[] = []
    try {
      const tickets = deliveries.map((delivery) => delivery.ticket)
      const verdicts = await grants.claim(tickets, seats.left, room && { perLane: Object.fromEntries(room) })
      const again: Delivery[] = []
      const stopping = gate.has('stopping')
      for (const [index, delivery] of deliveries.entries()) {
        const verdict = verdicts[index]
        if (!verdict || verdict.verdict === 'again') {
          again.push(delivery)
          continue
        }
        if (verdict.verdict === 'full') {
          // It keeps its place in the broker's queue. The subscription closes, so it comes once and not in a loop.
          this.#tell(delivery, 'release')
          this.#parts.full(queue)
          kept += 1
          continue
        }
        if (verdict.verdict === 'run' && stopping) {
          // A ticket that is handed back keeps its place in the queue. The new ticket that the log issues would be at the end.
          unbegun.push(runner.release(verdict.claim, 'shutdown').then(() => this.#tell(delivery, 'release')))
          continue
        }
        // Ack only after the claim has committed: a crash in between repeats the ticket, which the log refuses. The
        // other order can lose the only ticket of a ready job until the relay's next grace.
        this.#tell(delivery, 'ack')
        if (verdict.verdict === 'drop' && verdict.why === 'foreign') this.#foreign(queue, verdict.ticket.log)
        if (verdict.verdict !== 'run') continue
        started += 1
        room?.set(delivery.ticket.lane, (room.get(delivery.ticket.lane) ?? 0) - 1)
        runner.start(verdict.claim, seats)
      }
      // The subscription closes after this and hands back what is out. That would be too soon for the log to grant it
      // again.
      await Promise.all(unbegun)
      return { again, stale: deliveries.length - again.length - kept - started }
    } catch (error) {
      for (const delivery of deliveries) this.#tell(delivery, 'release')
      throw error
    }
  }

  #foreign(queue: QueueName, log: string): void {
    this.#parts.logger.warn(
      { queue, log },
      'a ticket of another job log was dropped: do two logs share one broker?',
    )
  }

  /** Not awaited: if a ticket is delivered twice, the log refuses the second one. */
  #tell(delivery: Delivery, what: 'ack' | 'release'): void {
    void delivery[what]().catch((error: unknown) => {
      this.#parts.logger.debug({ err: error }, `the broker did not take the ${what} of a ticket`)
    })
  }
}

/** As many of each lane as were asked for. Undefined if all were, or if there is only one lane: the seats limit that one. */
function limitLanes(deliveries: readonly Delivery[]): LaneRoom | undefined {
  if (!deliveries.some(({ extra }) => extra === true)) return undefined
  const room: LaneRoom = new Map()
  for (const { ticket, extra } of deliveries)
    room.set(ticket.lane, (room.get(ticket.lane) ?? 0) + (extra === true ? 0 : 1))
  return room.size > 1 ? room : undefined
}
