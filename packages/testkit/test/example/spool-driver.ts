import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ErrandError, LanePolicy, laneRank, lanes } from '@errand/core/ports'
import type { Clock, Delivery, Driver, DriverFactory, Logger, Subscription, Ticket } from '@errand/core/ports'

/** A broker that is a folder: one file per ticket, named by lane and time. Renaming a file hands it over, and has one winner. */
export function spool(folder: string): DriverFactory {
  return { errand: 'driver', name: 'spool', open: ({ logger, clock }) => open(folder, logger, clock) }
}

function open(folder: string, logger: Logger, clock: Clock): Driver {
  const subscriptions = new Set<Subscription>()
  let closing: Promise<void> | undefined
  const check = (): void => {
    if (closing) throw new ErrandError('E_CLOSED', 'this spool has been closed')
  }
  return {
    port: 1,
    name: 'spool',
    capabilities: { delivers: 'tickets', depth: 'exact' },
    async publish(tickets) {
      check()
      for (const ticket of tickets) await write(join(folder, ticket.queue), ticket)
      return { accepted: tickets, refused: [] }
    },
    async subscribe(queue) {
      check()
      const subscription = subscribe(join(folder, queue), logger, clock)
      subscriptions.add(subscription)
      return subscription
    },
    depth: async (queue) => (await waiting(join(folder, queue))).length,
    async purge(queue) {
      const files = await waiting(join(folder, queue))
      await Promise.all(files.map((file) => rm(join(folder, queue, file), { force: true })))
    },
    close: () =>
      (closing ??= Promise.all([...subscriptions].map((one) => one.close())).then(() => undefined)),
  }
}

function subscribe(folder: string, logger: Logger, clock: Clock): Subscription {
  const held = new Set<string>()
  const closed = new AbortController()
  const policy = new LanePolicy()

  /** Ends the hand-over of a file once: what was acked, released or handed back before is left alone. */
  const end = async (file: string, how: (taken: string) => Promise<void>): Promise<void> => {
    if (held.delete(file)) await how(join(folder, `${file}.taken`))
  }
  const handBack = (file: string) => end(file, (taken) => rename(taken, join(folder, file)))

  const take = async (file: string): Promise<Delivery[]> => {
    const taken = join(folder, `${file}.taken`)
    const won = await rename(join(folder, file), taken).then(
      () => true,
      () => false,
    )
    // Another worker was faster: the file is gone, and that is no error.
    if (!won) return []
    const ticket = parse(await readFile(taken, 'utf8'))
    if (!ticket) {
      logger.warn({ file }, 'a message that is no ticket was set aside')
      await rename(taken, join(folder, `${file}.bad`))
      return []
    }
    held.add(file)
    return [{ ticket, ack: () => end(file, (path) => rm(path)), release: () => handBack(file) }]
  }

  return {
    async next(max, signal) {
      const over = AbortSignal.any([signal, closed.signal])
      while (!over.aborted) {
        const deliveries: Delivery[] = []
        for (const file of inOrder(await waiting(folder), policy.fromLowest(max))) {
          if (deliveries.length < max) deliveries.push(...(await take(file)))
        }
        policy.granted(deliveries.length)
        if (closed.signal.aborted) await Promise.all([...held].map(handBack))
        else if (deliveries.length > 0) return deliveries
        await clock.sleep(20, over)
      }
      return []
    },
    async close() {
      closed.abort()
      await Promise.all([...held].map(handBack))
    },
  }
}

/** File names begin with the lane's rank and the time, so that their order is the order of delivery. */
async function waiting(folder: string): Promise<string[]> {
  const files = await readdir(folder).catch(() => [])
  return files.filter((file) => file.endsWith('.ticket')).toSorted()
}

function inOrder(files: readonly string[], fromLowest: number): string[] {
  const laneOf = (file: string) => Number(file.slice(0, 3))
  const lowest = files.toSorted((a, b) => laneOf(b) - laneOf(a)).slice(0, fromLowest)
  return [...lowest, ...files.filter((file) => !lowest.includes(file))]
}

async function write(folder: string, ticket: Ticket): Promise<void> {
  await mkdir(folder, { recursive: true })
  const time = String(process.hrtime.bigint()).padStart(20, '0')
  const name = `${laneRank[ticket.lane]}-${time}-${randomUUID()}`
  await writeFile(join(folder, name), JSON.stringify(ticket), { flush: true })
  await rename(join(folder, name), join(folder, `${name}.ticket`))
}

/** Whatever is on a broker may be there: nothing is believed before it was looked at. */
function parse(text: string): Ticket | undefined {
  try {
    const { id, queue, lane, log } = JSON.parse(text) as Record<keyof Ticket, unknown>
    const known = lanes.find((name) => name === lane)
    if (typeof id !== 'string' || typeof queue !== 'string' || typeof log !== 'string' || !known)
      return undefined
    return { id, queue, lane: known, log }
  } catch {
    return undefined
  }
}
