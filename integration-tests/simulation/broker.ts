import { ErrandError, laneRank } from '@errand/core/ports'
import type { Delivery, Driver, DriverCapabilities, DriverFactory, QueueName } from '@errand/core/ports'
import type { PublishReport, Subscription, Ticket } from '@errand/core/ports'
import type { Faults } from './faults.ts'
import type { SimulatedProcess } from './process.ts'
import type { World } from './world.ts'

interface Waiting {
  readonly ticket: Ticket
  /** Not handed out before. */
  readonly fromMs: number
}

interface Asker {
  readonly queue: QueueName
  readonly look: () => void
  readonly lost: (error: Error) => void
}

const slowestMs = 3_000
const latestMs = 12_000

/** A broker that keeps none of the promises that Errand does not ask for. */
export class Broker {
  readonly place: string
  readonly #world: World
  readonly #faults: Faults
  readonly #wrong: (text: string) => void
  readonly #depth: DriverCapabilities['depth']
  readonly #queues = new Map<QueueName, Waiting[]>()
  readonly #askers = new Set<Asker>()
  readonly #unacked = new Set<Ticket>()
  readonly #subscriptions = new Set<() => void>()
  #isDown = false

  /** @param wrong is told what no driver may be asked to do. */
  constructor(place: string, world: World, faults: Faults, wrong: (text: string) => void) {
    this.place = place
    this.#world = world
    this.#faults = faults
    this.#wrong = wrong
    this.#depth = world.chance.pick(['exact', 'approximate', 'unknown'])
  }

  /** Neither waiting nor handed out. */
  get isEmpty(): boolean {
    return this.#unacked.size === 0 && [...this.#queues.values()].every((waiting) => waiting.length === 0)
  }

  down(): void {
    this.#isDown = true
    for (const asker of this.#askers) asker.lost(gone())
    for (const handBackAll of this.#subscriptions) handBackAll()
  }

  up(): void {
    this.#isDown = false
  }

  /** As a deleted data folder. */
  wipe(): void {
    this.#queues.clear()
    this.#unacked.clear()
  }

  connection(process: SimulatedProcess): DriverFactory {
    return { errand: 'driver', name: 'simulated', place: this.place, open: () => this.#driver(process) }
  }

  #driver(process: SimulatedProcess): Driver {
    const call = <T>(what: string, carryOut: () => T, failsAt: number, losesReply = 0): Promise<T> =>
      this.#call(process, what, carryOut, failsAt, losesReply)
    return {
      port: 1,
      name: 'simulated',
      capabilities: { delivers: 'tickets', depth: this.#depth },
      publish: (tickets, options) => this.#publish(process, tickets, options?.signal),
      subscribe: (queue) => call('subscribe', () => this.#subscription(process, queue), 0),
      depth: (queue) => {
        const answer = (): number | undefined =>
          this.#depth === 'unknown' ? undefined : this.#visible(queue).length
        return call('depth', answer, this.#faults.rates.depthFails)
      },
      purge: (queue) => call('purge', () => void this.#queues.delete(queue), 0),
      close: async () => undefined,
    }
  }

  #call<T>(
    process: SimulatedProcess,
    what: string,
    carryOut: () => T,
    failsAt: number,
    losesReplyAt: number,
  ): Promise<T> {
    const world = this.#world
    const { chance } = world
    const fails = chance.happens(failsAt)
    const losesReply = chance.happens(losesReplyAt)
    const travel = (): number => chance.delay(this.#faults.rates.brokerIsSlow, slowestMs)
    return new Promise((resolve, reject) => {
      if (!process.reaches(`broker.${what}`)) return
      world.at(travel(), () => {
        const refused = this.#isDown || fails
        const value = refused ? undefined : carryOut()
        world.at(travel(), () =>
          process.enter(() => {
            const lost = refused || losesReply || this.#isDown
            if (!process.reaches(`broker.${what}: ${lost ? 'E_DRIVER' : 'answered'}`)) return
            if (lost) reject(gone())
            else resolve(value as T)
          }),
        )
      })
    })
  }

  async #publish(
    process: SimulatedProcess,
    tickets: readonly Ticket[],
    signal: AbortSignal | undefined,
  ): Promise<PublishReport> {
    const { chance } = this.#world
    const { rates } = this.#faults
    if (chance.happens(rates.publishHangs)) {
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      throw gone()
    }
    const take = (): PublishReport => {
      const refused = tickets.filter(() => chance.happens(rates.publishRefuses))
      const accepted = tickets.filter((ticket) => !refused.includes(ticket))
      for (const ticket of accepted) this.#accept(ticket)
      return { accepted, refused: refused.map((ticket) => ({ ticket, why: 'by chance' })) }
    }
    const what = `publish ${tickets.map(({ id }) => id.slice(-6)).join(' ')}`
    return this.#call(process, what, take, rates.publishFails, rates.confirmIsLost)
  }

  #accept(ticket: Ticket): void {
    const { chance, nowMs } = this.#world
    const { rates } = this.#faults
    if (chance.happens(rates.ticketIsLost)) return
    const copies = chance.happens(rates.ticketRepeats) ? chance.whole(2, 4) : 1
    for (let copy = 0; copy < copies; copy += 1) {
      const lateMs = chance.happens(rates.ticketIsLate) ? chance.between(100, latestMs) : 0
      this.#add(ticket, nowMs + lateMs)
    }
  }

  #add(ticket: Ticket, fromMs: number): void {
    const { chance } = this.#world
    const waiting = this.#queues.get(ticket.queue) ?? []
    this.#queues.set(ticket.queue, waiting)
    const at = chance.happens(this.#faults.rates.ticketOvertakes)
      ? chance.whole(0, waiting.length)
      : waiting.length
    waiting.splice(at, 0, { ticket, fromMs })
    this.#world.at(fromMs - this.#world.nowMs, () => this.#wake(ticket.queue))
  }

  #visible(queue: QueueName): readonly Waiting[] {
    return (this.#queues.get(queue) ?? []).filter(({ fromMs }) => fromMs <= this.#world.nowMs)
  }

  #wake(queue: QueueName): void {
    for (const asker of this.#askers) if (asker.queue === queue) asker.look()
  }

  #take(queue: QueueName, max: number): Ticket[] {
    const byLane = this.#visible(queue).toSorted((a, b) => laneRank[a.ticket.lane] - laneRank[b.ticket.lane])
    const taken = new Set(byLane.slice(0, max))
    const left = (this.#queues.get(queue) ?? []).filter((each) => !taken.has(each))
    this.#queues.set(queue, left)
    return [...taken].map(({ ticket }) => ({ ...ticket }))
  }

  #subscription(process: SimulatedProcess, queue: QueueName): Subscription {
    const mine = new Set<Ticket>()
    let isClosed = false
    const handBack = (ticket: Ticket): void => {
      mine.delete(ticket)
      if (this.#unacked.delete(ticket)) this.#add(ticket, this.#world.nowMs)
    }
    const handBackAll = (): void => {
      isClosed = true
      this.#subscriptions.delete(handBackAll)
      for (const ticket of mine) handBack(ticket)
    }
    this.#subscriptions.add(handBackAll)
    // The broker notices in its own time that a connection is gone.
    process.onDeath(() => this.#world.at(this.#world.chance.between(0, 2_000), handBackAll))
    const forget = (ticket: Ticket): void => {
      mine.delete(ticket)
      this.#unacked.delete(ticket)
    }
    const deliver = (ticket: Ticket): Delivery => ({
      ticket,
      ack: () => {
        if (!process.decided.has(ticket)) {
          this.#wrong(`${process.name} acked the ticket of job ${ticket.id} before the log had decided on it`)
        }
        return this.#tell(process, 'ack', ticket, () => forget(ticket), handBack)
      },
      release: () => this.#tell(process, 'release', ticket, () => handBack(ticket), handBack),
    })
    return {
      next: async (max, signal) => {
        if (isClosed) throw gone()
        const tickets = await this.#next(process, queue, max, signal, mine)
        return tickets.map(deliver)
      },
      close: async () => {
        if (isClosed) return
        await this.#call(process, 'close', handBackAll, 0, 0).catch(handBackAll)
      },
    }
  }

  #tell(
    process: SimulatedProcess,
    what: string,
    ticket: Ticket,
    heard: () => void,
    lost: (ticket: Ticket) => void,
  ): Promise<void> {
    const { chance } = this.#world
    const isLost = chance.happens(this.#faults.rates.ackIsLost)
    // As a visibility timeout that ends, or a channel that was closed: it is handed out once more.
    const carryOut = (): void => {
      if (isLost) this.#world.at(chance.between(100, latestMs), () => lost(ticket))
      else heard()
    }
    return this.#call(process, `${what} ${ticket.id.slice(-6)}`, carryOut, 0, 0)
  }

  #next(
    process: SimulatedProcess,
    queue: QueueName,
    max: number,
    signal: AbortSignal,
    mine: Set<Ticket>,
  ): Promise<readonly Ticket[]> {
    const world = this.#world
    if (signal.aborted) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      if (!process.reaches(`broker.next ${queue} ${max}`)) return
      let isOver = false
      const over = (settle: () => void): void => {
        if (isOver) return
        isOver = true
        this.#askers.delete(asker)
        signal.removeEventListener('abort', abort)
        settle()
      }
      const enter = (settle: () => void): void => {
        world.at(world.chance.delay(this.#faults.rates.brokerIsSlow, slowestMs), () => process.enter(settle))
      }
      const abort = (): void => over(() => resolve([]))
      const look = (): void => {
        if (process.isDead) return over(() => undefined)
        if (isOver || this.#isDown) return
        const tickets = this.#take(queue, max)
        if (tickets.length === 0) return
        for (const ticket of tickets) {
          mine.add(ticket)
          this.#unacked.add(ticket)
        }
        over(() =>
          enter(() => {
            const ids = tickets.map(({ id }) => id.slice(-6)).join(' ')
            if (process.reaches(`broker.next ${queue}: ${ids}`)) resolve(tickets)
          }),
        )
      }
      const asker: Asker = { queue, look, lost: (error) => over(() => enter(() => reject(error))) }
      signal.addEventListener('abort', abort)
      this.#askers.add(asker)
      if (this.#isDown) asker.lost(gone())
      else world.at(0, look)
    })
  }
}

function gone(): ErrandError {
  return new ErrandError('E_DRIVER', 'the simulated broker has lost the connection')
}
