import { randomUUID } from 'node:crypto'
import { describeDriver, quietLogger } from '@errand/testkit'
import { buildDriver, EntryBatcher, LaneSubscription, publishEach } from '../../src/driver-kit.ts'
import type { EntryResult, LaneSource, SourceMessage } from '../../src/driver-kit.ts'
import { lanes, systemClock } from '../../src/ports.ts'
import type { Driver, Lane } from '../../src/ports.ts'
import { waitFor } from '../../src/wait.ts'

const clock = systemClock
const hiddenMs = 30_000
const batchSize = 10

interface Message {
  readonly id: string
  readonly text: string | Uint8Array
  visibleAtMs: number
  receives: number
}

/** A queue of a broker like SQS: it hides what was received, answers batches entry by entry, and lets a receive wait. */
class Queue {
  #messages: Message[] = []
  readonly #waiting = new Set<() => void>()

  get depth(): number {
    return this.#visible().length
  }

  async send(texts: readonly (string | Uint8Array)[]): Promise<EntryResult[]> {
    if (texts.length > batchSize) throw new Error('too many entries')
    for (const text of texts) this.#messages.push({ id: randomUUID(), text, visibleAtMs: 0, receives: 0 })
    this.#wake()
    return texts.map(() => ({ done: true }))
  }

  async receive(max: number, waitMs: number, signal: AbortSignal): Promise<readonly Message[]> {
    if (this.depth === 0 && waitMs > 0) {
      await waitFor(signal, undefined, (resolve) => {
        const wake = (): void => resolve(undefined)
        const stop = clock.after(waitMs, wake)
        this.#waiting.add(wake)
        return () => {
          stop()
          this.#waiting.delete(wake)
        }
      })
    }
    signal.throwIfAborted()
    const received = this.#visible().slice(0, Math.min(max, batchSize))
    for (const message of received) {
      message.visibleAtMs = clock.monotonicMs() + hiddenMs
      message.receives += 1
    }
    return received
  }

  async delete(ids: readonly string[]): Promise<EntryResult[]> {
    this.#messages = this.#messages.filter(({ id }) => !ids.includes(id))
    return ids.map(() => ({ done: true }))
  }

  async show(ids: readonly string[]): Promise<EntryResult[]> {
    for (const message of this.#messages) if (ids.includes(message.id)) message.visibleAtMs = 0
    this.#wake()
    return ids.map(() => ({ done: true }))
  }

  purge(): void {
    this.#messages = []
  }

  #visible(): Message[] {
    return this.#messages.filter(({ visibleAtMs }) => visibleAtMs <= clock.monotonicMs())
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }
}

class QueueLane implements LaneSource<string> {
  readonly name: string
  readonly lane: Lane
  readonly queue: Queue
  readonly sends: EntryBatcher<string>
  readonly #acks: EntryBatcher<string>
  readonly #releases: EntryBatcher<string>

  constructor(name: string, lane: Lane, queue: Queue) {
    this.name = name
    this.lane = lane
    this.queue = queue
    const options = { maxItems: batchSize, clock }
    this.sends = new EntryBatcher({ ...options, run: (texts) => queue.send(texts) })
    this.#acks = new EntryBatcher({ ...options, run: (ids) => queue.delete(ids), gatherMs: 1_000 })
    this.#releases = new EntryBatcher({ ...options, run: (ids) => queue.show(ids) })
  }

  async receive(max: number, waitMs: number, signal: AbortSignal): Promise<SourceMessage<string>[]> {
    const messages = await this.queue.receive(max, waitMs, signal)
    return messages.map(({ id, text, receives }) => ({ id, text, handle: id, redelivered: receives > 1 }))
  }

  async ack(id: string): Promise<void> {
    await this.#acks.add(id)
  }

  async release(id: string): Promise<void> {
    await this.#releases.add(id)
  }

  flush(): void {
    this.#acks.flush()
  }
}

type Broker = Map<string, Queue>

function getQueue(broker: Broker, queue: string, lane: Lane): Queue {
  const name = `${queue}-${lane}`
  const found = broker.get(name) ?? new Queue()
  broker.set(name, found)
  return found
}

function open(broker: Broker): Driver {
  const opened = new Map<string, readonly QueueLane[]>()
  const openLanes = (queue: string): readonly QueueLane[] => {
    const known = opened.get(queue)
    const sources =
      known ?? lanes.map((lane) => new QueueLane(`${queue}-${lane}`, lane, getQueue(broker, queue, lane)))
    opened.set(queue, sources)
    return sources
  }
  return buildDriver({
    name: 'like SQS',
    capabilities: { delivers: 'tickets', depth: 'approximate', packs: true },
    publish: (tickets, call) =>
      publishEach(tickets, call, async ({ queue, lane, text }) => {
        const source = openLanes(queue).find((each) => each.lane === lane)
        return source!.sends.add(text, call?.signal)
      }),
    subscribe: async (queue) =>
      new LaneSubscription({
        driver: 'like SQS',
        queue,
        sources: openLanes(queue),
        hiddenMs,
        clock,
        logger: quietLogger,
      }),
    depth: async (queue) => openLanes(queue).reduce((sum, lane) => sum + lane.queue.depth, 0),
    purge: async (queue) => openLanes(queue).forEach((lane) => lane.queue.purge()),
    close: async () => {
      await Promise.all([...opened.values()].flat().map(({ sends }) => sends.idle()))
    },
  })
}

describeDriver('on the lane subscription', {
  concurrent: true,
  create: async () => {
    const broker: Broker = new Map()
    const drivers = [open(broker)]
    return {
      driver: drivers[0]!,
      another: async () => {
        const driver = open(broker)
        drivers.push(driver)
        return driver
      },
      publishRaw: async (queue, message) => {
        await getQueue(broker, queue, 'normal').send([message])
      },
      close: async () => {
        await Promise.all(drivers.map((driver) => driver.close()))
      },
    }
  },
  capabilities: { delivers: 'tickets', depth: 'approximate', packs: true, publishRaw: true },
})
