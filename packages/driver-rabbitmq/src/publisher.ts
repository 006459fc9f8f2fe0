import { driverError, packTickets, readMessage, unlessAborted } from '@errand/core/driver-kit'
import type { TicketMessage } from '@errand/core/driver-kit'
import type { CallOptions, Clock, PublishReport, Ticket } from '@errand/core/ports'
import { Confirms } from './confirms.ts'
import type { Fate } from './confirms.ts'
import type { Connection } from './connection.ts'
import { replyCode } from './errors.ts'
import type { Link } from './link.ts'
import { brokerQueue } from './names.ts'
import type { Settings } from './options.ts'
import { getTopology } from './topology.ts'

type Refusal = PublishReport['refused'][number]

/** A message on its way. */
interface Addressed {
  readonly message: TicketMessage
  readonly queue: string
}

/** Uses a connection until the signal aborts. */
type Act<T> = (connection: Connection, ended: AbortSignal) => Promise<T>

/** How often one call offers a message. The wait between two rounds is `roundMs` times the number of the round. */
const rounds = 4
const roundMs = 50

/** Publishes tickets. A ticket counts as accepted only when the broker has confirmed it. */
export class Publisher {
  readonly #link: Link
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #confirms = new WeakMap<Connection, Promise<Confirms>>()
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(link: Link, settings: Settings, clock: Clock) {
    this.#link = link
    this.#settings = settings
    this.#clock = clock
  }

  publish(
    tickets: readonly Ticket[],
    { signal, ticketsPerMessage }: CallOptions = {},
  ): Promise<PublishReport> {
    if (tickets.length === 0) return Promise.resolve({ accepted: [], refused: [] })
    const addressed = packTickets(tickets, ticketsPerMessage).map((message) => ({
      message,
      queue: brokerQueue(this.#settings.prefix, message.queue, message.lane),
    }))
    return this.#call(signal, (connection, ended) => this.#deliver(connection, addressed, ended))
  }

  /**
   * Why the broker accepts no messages; undefined if it accepts them. RabbitMQ says so only to a connection that publishes.
   * So this publishes a message to a queue that does not exist, and it comes back.
   */
  refusal(): Promise<string | undefined> {
    return this.#call(undefined, async (connection, ended) => {
      if (connection.blocked === undefined) {
        const confirms = await unlessAborted(this.#channel(connection), ended, notInTime)
        const probe = { queue: `${this.#settings.prefix}:nobody`, content: Buffer.from('{}') }
        const [fate] = await confirms.send([probe], ended)
        if (confirms.failure !== undefined) throw publishError(connection, confirms.failure)
        if (fate === 'unknown' && connection.blocked === undefined)
          return `RabbitMQ at ${connection.where} did not answer what was published within ${this.#settings.publishTimeoutMs} ms`
      }
      return connection.blocked === undefined ? undefined : whyBlocked(connection)
    })
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }

  #call<T>(signal: AbortSignal | undefined, act: Act<T>): Promise<T> {
    const call = this.#inTime(signal, act)
    this.#underWay.add(call)
    const over = (): void => void this.#underWay.delete(call)
    call.then(over, over)
    return call
  }

  async #inTime<T>(signal: AbortSignal | undefined, act: Act<T>): Promise<T> {
    const patience = new AbortController()
    const stop = this.#clock.after(this.#settings.publishTimeoutMs, () => patience.abort())
    const ended = signal ? AbortSignal.any([signal, patience.signal]) : patience.signal
    try {
      return await act(await unlessAborted(this.#link.connected(), ended, notInTime), ended)
    } finally {
      stop()
    }
  }

  async #deliver(
    connection: Connection,
    messages: readonly Addressed[],
    ended: AbortSignal,
  ): Promise<PublishReport> {
    let accepted: Addressed[] = []
    const refused: Refusal[] = []
    let left = messages
    for (let round = 1; left.length > 0; round += 1) {
      const usable = await this.#declared(connection, left, refused, ended)
      const fates = await this.#confirmed(connection, usable, ended)
      // Tickets that an earlier round had confirmed may have been lost with the queue.
      const gone = new Set(usable.flatMap(({ queue }, at) => (fates[at] === 'returned' ? [queue] : [])))
      accepted = accepted.filter(({ queue }) => !gone.has(queue))
      accepted.push(...usable.filter((_, index) => fates[index] === 'accepted'))
      const again = usable.flatMap(({ message, queue }, index) => {
        const fate = fates[index]
        return fate === 'returned' || fate === 'refused' ? [{ message, queue, why: whyNot(fate, queue) }] : []
      })
      if (round === rounds || ended.aborted) {
        refused.push(...again.flatMap(refuse))
        break
      }
      // The next round declares a deleted queue again. A queue that another client has just declared needs a moment before
      // it can store messages.
      for (const { queue } of again) getTopology(connection, this.#settings).forget(queue)
      if (again.length > 0) await this.#clock.sleep(roundMs * round, ended)
      left = again
    }
    return { accepted: accepted.flatMap(({ message }) => message.tickets), refused }
  }

  /** Returns the messages whose queue can be used. Refuses the others, so that they do not affect their neighbours. */
  async #declared(
    connection: Connection,
    messages: readonly Addressed[],
    refused: Refusal[],
    ended: AbortSignal,
  ): Promise<readonly Addressed[]> {
    const topology = getTopology(connection, this.#settings)
    const queues = [...new Set(messages.map(({ queue }) => queue))]
    const answers = await unlessAborted(
      Promise.all(queues.map((queue) => topology.ensure(queue))),
      ended,
      notInTime,
    )
    const problems = new Map(queues.map((queue, index) => [queue, answers[index]]))
    return messages.filter(({ message, queue }) => {
      const why = problems.get(queue)
      if (why !== undefined) refused.push(...refuse({ message, why }))
      return why === undefined
    })
  }

  async #confirmed(
    connection: Connection,
    addressed: readonly Addressed[],
    ended: AbortSignal,
  ): Promise<readonly Fate[]> {
    if (connection.blocked !== undefined) throw driverError(whyBlocked(connection))
    const confirms = await unlessAborted(this.#channel(connection), ended, notInTime)
    const before = confirms.confirmed
    const messages = addressed.map(({ message, queue }) => ({ queue, content: Buffer.from(message.text) }))
    const fates = await confirms.send(messages, ended)
    if (confirms.failure !== undefined) throw publishError(connection, confirms.failure)
    // The broker confirmed nothing in all that time: the next publish must not use this connection.
    if (
      ended.aborted &&
      fates.length > 0 &&
      confirms.confirmed === before &&
      connection.blocked === undefined
    ) {
      connection.drop(`no confirm within ${this.#settings.publishTimeoutMs} ms`)
    }
    return fates
  }

  /** One for each connection, and a new one after it has failed. */
  async #channel(connection: Connection): Promise<Confirms> {
    const open = this.#confirms.get(connection)
    const confirms = await open
    if (confirms && confirms.failure === undefined) return confirms
    // Another call may have opened a new one while this call waited for the old one.
    const again = this.#confirms.get(connection)
    if (again && again !== open) return this.#channel(connection)
    const fresh = connection.confirmChannel().then((channel) => new Confirms(connection, channel))
    this.#confirms.set(connection, fresh)
    fresh.catch(() => this.#confirms.delete(connection))
    return fresh
  }
}

function refuse({ message, why }: { readonly message: TicketMessage; readonly why: string }): Refusal[] {
  return message.tickets.map((ticket) => ({ ticket, why }))
}

function whyNot(fate: 'returned' | 'refused', queue: string): string {
  return fate === 'returned'
    ? `RabbitMQ could not route it: queue "${queue}" is gone`
    : `RabbitMQ refused to store it in queue "${queue}" (nack): is the queue full, or without a majority of its nodes?`
}

function notInTime(): never {
  throw driverError('RabbitMQ did not answer in time; the tickets are published again later')
}

function whyBlocked({ where, blocked }: Connection): string {
  return `RabbitMQ at ${where} takes no tickets: ${blocked}. Give it memory or disk; jobs wait in the log`
}

function publishError(connection: Connection, failure: unknown): Error {
  if (connection.ended.aborted) return connection.reason
  const hint = replyCode(failure) === 403 ? '; the user needs the right to write to amq.default' : ''
  return driverError(
    `RabbitMQ at ${connection.where} ended the publishing channel (${readMessage(failure)})${hint}`,
    failure,
  )
}
