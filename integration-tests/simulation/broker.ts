import { openMessage, packTickets } from '@errand/core/driver-kit'
import { ErrandError, laneRank } from '@errand/core/ports'
import type { CallOptions, Delivery, Driver, DriverCapabilities, DriverFactory } from '@errand/core/ports'
import type { PublishReport, QueueName, Subscription, Ticket } from '@errand/core/ports'
import type { Faults } from './faults.ts'
import type { SimulatedProcess } from './process.ts'
import type { World } from './world.ts'

/** The tickets of one lane that were sent together. A copy of a message is another message. */
type Message = readonly Ticket[]

interface Waiting {
  readonly message: Message
  /** It is not handed out before this time. */
  readonly fromMs: number
}

interface Asker {
  readonly queue: QueueName
  readonly look: () => void
  readonly lost: (error: Error) => void
}

const slowestMs = 3_000
const latestMs = 12_000

/** A broker that promises only what Errand asks for. */
export class Broker {
  readonly place: string
  readonly #world: World
  readonly #faults: Faults
  readonly #wrong: (text: string) => void
  readonly #depth: DriverCapabilities['depth']
  readonly #unreadable: QueueName | undefined
  readonly #queues = new Map<QueueName, Waiting[]>()
  readonly #askers = new Set<Asker>()
  readonly #packs: boolean
  readonly #unacked = new Set<Message>()
  readonly #subscriptions = new Set<() => void>()
  #isDown = false

  /**
   * @param wrong is called with what no driver may be asked to do
   * @param unreadable a queue whose tickets nobody may take or count
   */
  constructor(
    place: string,
    world: World,
    faults: Faults,
    wrong: (text: string) => void,
    unreadable?: QueueName,
  ) {
    this.place = place
    this.#world = world
    this.#faults = faults
    this.#wrong = wrong
    this.#unreadable = unreadable
    this.#depth = world.chance.pick(['exact', 'approximate', 'unknown'])
    this.#packs = world.chance.happens(0.7)
  }

  /** True if no ticket waits or is handed out, except of a queue that nobody may read. */
  get isEmpty(): boolean {
    const isDone = ([queue, waiting]: [QueueName, Waiting[]]): boolean =>
      waiting.length === 0 || queue === this.#unreadable
    return this.#unacked.size === 0 && [...this.#queues].every(isDone)
  }

  down(): void {
    this.#isDown = true
    for (const asker of this.#askers) asker.lost(gone())
    for (const handBackAll of this.#subscriptions) handBackAll()
  }

  up(): void {
    this.#isDown = false
  }

  /** Removes everything, like a deleted data folder. */
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
    const failsIn = (queue: QueueName, rate = 0): number => (queue === this.#unreadable ? 1 : rate)
    return {
      port: 1,
      name: 'simulated',
      capabilities: { delivers: 'tickets', depth: this.#depth, packs: this.#packs },
      publish: (tickets, options) => this.#publish(process, tickets, options),
      subscribe: (queue) => call('subscribe', () => this.#subscription(process, queue), failsIn(queue)),
      depth: (queue) => {
        const answer = (): number | undefined =>
          this.#depth === 'unknown' ? undefined : this.#visible(queue).length
        return call('depth', answer, failsIn(queue, this.#faults.rates.depthFails))
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
    { signal, ticketsPerMessage }: CallOptions = {},
  ): Promise<PublishReport> {
    const { chance } = this.#world
    const { rates } = this.#faults
    if (chance.happens(rates.publishHangs)) {
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      throw gone()
    }
    const take = (): PublishReport => {
      const messages = packTickets(tickets, this.#packs ? ticketsPerMessage : undefined)
      const refused = messages.filter(() => chance.happens(rates.publishRefuses))
      const accepted = messages.filter((message) => !refused.includes(message))
      for (const message of accepted) this.#accept(message.tickets)
      return {
        accepted: accepted.flatMap((message) => message.tickets),
        refused: refused
          .flatMap((message) => message.tickets)
          .map((ticket) => ({ ticket, why: 'by chance' })),
      }
    }
    const what = `publish ${tickets.map(({ id }) => id.slice(-6)).join(' ')}`
    return this.#call(process, what, take, rates.publishFails, rates.confirmIsLost)
  }

  #accept(message: Message): void {
    const { chance, nowMs } = this.#world
    const { rates } = this.#faults
    if (chance.happens(rates.ticketIsLost)) return
    const copies = chance.happens(rates.ticketRepeats) ? chance.whole(2, 4) : 1
    for (let copy = 0; copy < copies; copy += 1) {
      const lateMs = chance.happens(rates.ticketIsLate) ? chance.between(100, latestMs) : 0
      this.#add([...message], nowMs + lateMs)
    }
  }

  #add(message: Message, fromMs: number): void {
    const { chance } = this.#world
    const queue = message[0]?.queue ?? ''
    const waiting = this.#queues.get(queue) ?? []
    this.#queues.set(queue, waiting)
    const at = chance.happens(this.#faults.rates.ticketOvertakes)
      ? chance.whole(0, waiting.length)
      : waiting.length
    waiting.splice(at, 0, { message, fromMs })
    this.#world.at(fromMs - this.#world.nowMs, () => this.#wake(queue))
  }

  #visible(queue: QueueName): readonly Waiting[] {
    return (this.#queues.get(queue) ?? []).filter(({ fromMs }) => fromMs <= this.#world.nowMs)
  }

  #wake(queue: QueueName): void {
    for (const asker of this.#askers) if (asker.queue === queue) asker.look()
  }

  /** Takes messages with at most `max` tickets, plus the rest of the last one: each message is delivered whole. */
  #take(queue: QueueName, max: number): Message[] {
    const byLane = this.#visible(queue).toSorted((a, b) => rankOf(a) - rankOf(b))
    const taken = new Set<Waiting>()
    let tickets = 0
    for (const waiting of byLane) {
      if (tickets >= max) break
      taken.add(waiting)
      tickets += waiting.message.length
    }
    const left = (this.#queues.get(queue) ?? []).filter((each) => !taken.has(each))
    this.#queues.set(queue, left)
    return [...taken].map(({ message }) => message.map((ticket) => ({ ...ticket })))
  }

  #subscription(process: SimulatedProcess, queue: QueueName): Subscription {
    const mine = new Set<Message>()
    let isClosed = false
    const handBack = (message: Message): void => {
      mine.delete(message)
      if (this.#unacked.delete(message)) this.#add(message, this.#world.nowMs)
    }
    const handBackAll = (): void => {
      isClosed = true
      this.#subscriptions.delete(handBackAll)
      for (const message of mine) handBack(message)
    }
    this.#subscriptions.add(handBackAll)
    // The broker notices in its own time that a connection is gone.
    process.onDeath(() => this.#world.at(this.#world.chance.between(0, 2_000), handBackAll))
    const forget = (message: Message): void => {
      mine.delete(message)
      this.#unacked.delete(message)
    }
    const deliver = (message: Message): readonly Delivery[] => {
      const ack = (): Promise<void> => {
        const undecided = message.filter((ticket) => !process.decided.has(ticket))
        for (const { id } of undecided)
          this.#wrong(`${process.name} acked the ticket of job ${id} before the log had decided on it`)
        return this.#tell(process, 'ack', message, () => forget(message), handBack)
      }
      const release = (): Promise<void> =>
        this.#tell(process, 'release', message, () => handBack(message), handBack)
      return openMessage({ tickets: message, ack, release })
    }
    return {
      next: async (max, signal) => {
        if (isClosed) throw gone()
        const messages = await this.#next(process, queue, max, signal, mine)
        return messages.flatMap(deliver)
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
    message: Message,
    heard: () => void,
    lost: (message: Message) => void,
  ): Promise<void> {
    const { chance } = this.#world
    const isLost = chance.happens(this.#faults.rates.ackIsLost)
    // Hands it out again, as after a visibility timeout or a closed channel.
    const carryOut = (): void => {
      if (isLost) this.#world.at(chance.between(100, latestMs), () => lost(message))
      else heard()
    }
    return this.#call(process, `${what} ${namesOf([message])}`, carryOut, 0, 0)
  }

  #next(
    process: SimulatedProcess,
    queue: QueueName,
    max: number,
    signal: AbortSignal,
    mine: Set<Message>,
  ): Promise<readonly Message[]> {
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
        const messages = this.#take(queue, max)
        if (messages.length === 0) return
        for (const message of messages) {
          mine.add(message)
          this.#unacked.add(message)
        }
        over(() =>
          enter(() => {
            if (process.reaches(`broker.next ${queue}: ${namesOf(messages)}`)) resolve(messages)
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

function rankOf({ message: [ticket] }: Waiting): number {
  return ticket ? laneRank[ticket.lane] : 0
}

function namesOf(messages: readonly Message[]): string {
  return messages.map((message) => message.map(({ id }) => id.slice(-6)).join('+')).join(' ')
}

function gone(): ErrandError {
  return new ErrandError('E_DRIVER', 'the simulated broker has lost the connection')
}
