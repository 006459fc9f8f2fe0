import { driverError } from '@errand/core/driver-kit'
import type { Channel } from 'amqplib'
import type { Connection } from './connection.ts'
import { queueProblem } from './errors.ts'
import type { Settings } from './options.ts'

/**
 * Only what can never be changed: whatever an operator may want to change later (length, expiry, replicas, dead
 * letters) is left to policies, and a queue declared with it here would refuse every other value for ever.
 *
 * The delivery limit is there to be out of the way. RabbitMQ 4 drops a ticket that was handed back 20 times; RabbitMQ
 * 3.10 puts what is handed back at the end of a queue that has no limit, and at its head where there is one.
 */
const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000 } }

/** The queues that one connection knows to be there. Each call has a channel of its own: a refusal ends the channel. */
class Topology {
  /** Whether this user may ask for the number of tickets in a queue: from RabbitMQ 4.3 on that needs one of the three rights to it. */
  mayLook = true
  readonly #connection: Connection
  readonly #declares: boolean
  readonly #known = new Map<string, Promise<string | undefined>>()

  constructor(connection: Connection, { declare }: Pick<Settings, 'declare'>) {
    this.#connection = connection
    this.#declares = declare
  }

  /**
   * Declares the queue, or only looks whether it is there. Resolves with what is wrong with it and what to do, or with
   * undefined when it can be used. Rejects when the connection is lost.
   */
  ensure(queue: string): Promise<string | undefined> {
    const known = this.#known.get(queue)
    if (known) return known
    const answer = this.#try(queue)
    this.#known.set(queue, answer)
    // Only a good answer is kept: somebody may repair the queue in the meantime.
    const forget = (): void => this.forget(queue)
    answer.then((problem) => problem !== undefined && forget(), forget)
    return answer
  }

  /** @throws `E_DRIVER` that names the first queue that cannot be used. */
  async ensureAll(queues: readonly string[]): Promise<void> {
    const problems = await Promise.all(queues.map((queue) => this.ensure(queue)))
    const problem = problems.find((each) => each !== undefined)
    if (problem !== undefined) throw driverError(`RabbitMQ at ${this.#connection.where}: ${problem}`)
  }

  /** It turned out not to be there. */
  forget(queue: string): void {
    this.#known.delete(queue)
  }

  async #try(queue: string): Promise<string | undefined> {
    const connection = this.#connection
    const channel = await connection.channel()
    try {
      await connection.answer(`queue.declare of "${queue}"`, async () => {
        if (this.#declares) await channel.assertQueue(queue, quorum)
        else await check(channel, queue)
      })
      channel.close().catch(() => {})
      return undefined
    } catch (error) {
      const problem = queueProblem(error, queue, this.#declares)
      if (problem === undefined) throw error
      return problem
    }
  }
}

const topologies = new WeakMap<Connection, Topology>()

export function getTopology(connection: Connection, settings: Settings): Topology {
  const known = topologies.get(connection)
  if (known) return known
  const topology = new Topology(connection, settings)
  topologies.set(connection, topology)
  return topology
}

/** From RabbitMQ 4.3 on, looking needs one of the three rights to the queue. Without any, the first use shows what is missing. */
async function check(channel: Channel, queue: string): Promise<void> {
  try {
    await channel.checkQueue(queue)
  } catch (error) {
    if (!isRefused(error)) throw error
  }
}

export function isRefused(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 403
}
