import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  buildDriver,
  defineErrors,
  defineOptions,
  driverError,
  encodeTicket,
  option,
  PullSubscription,
  readMessage,
  repeat,
} from '@errand/core/driver-kit'
import type { PullSource, SourceMessage } from '@errand/core/driver-kit'
import { laneRank } from '@errand/core/ports'
import type { Clock, DriverFactory, Duration, Ticket } from '@errand/core/ports'

export interface SpoolOptions {
  readonly folder: string
  /** How often a worker that waits looks into the folder. Default 20 ms. */
  readonly poll?: Duration | undefined
}

const table = defineOptions('spool()', {
  folder: option.text({ default: '', pattern: /./, use: 'the path of a folder', inUrl: false }),
  poll: option.duration({ default: '20ms', from: '1ms' }),
})

const errors = defineErrors({
  missing: { named: /ENOENT/, advice: 'make the folder', passing: true },
  busy: { named: /EMFILE|ENFILE|EBUSY/, advice: 'it is tried again', passing: true },
  full: { named: /ENOSPC|EDQUOT/, advice: 'make room on the disk' },
  denied: { named: /EACCES|EPERM|EROFS/, advice: 'let this user write there' },
})

/** A broker that is a folder: one file per ticket, named by lane and time. Renaming a file hands it over, and has one winner. */
export function spool(options: SpoolOptions): DriverFactory {
  const { folder, poll } = table.check(options)
  const open = (queue: string, clock: Clock): SpoolQueue => new SpoolQueue(join(folder, queue), clock, poll)
  return {
    errand: 'driver',
    name: 'spool',
    place: folder,
    open: ({ logger, clock }) =>
      buildDriver({
        name: 'spool',
        capabilities: { delivers: 'tickets', depth: 'exact' },
        async publish(tickets) {
          for (const ticket of tickets) await open(ticket.queue, clock).write(ticket)
          return { accepted: tickets, refused: [] }
        },
        subscribe: async (queue) =>
          new PullSubscription({ driver: 'spool', queue, source: open(queue, clock), logger }),
        depth: async (queue) => (await open(queue, clock).list()).length,
        purge: (queue) => rm(join(folder, queue), { recursive: true, force: true }),
      }),
  }
}

/** `spool:///var/spool/errand?poll=50ms` */
export function fromUrl(url: string): DriverFactory {
  const { pathname, search } = new URL(url)
  return spool({ ...table.readQuery('the URL of the spool', search), folder: decodeURIComponent(pathname) })
}

/** A queue: a folder of its own. A file that a worker holds ends in `.taken`. */
class SpoolQueue implements PullSource<string> {
  readonly name: string
  readonly #clock: Clock
  readonly #pollMs: number

  constructor(folder: string, clock: Clock, pollMs: number) {
    this.name = folder
    this.#clock = clock
    this.#pollMs = pollMs
  }

  async write(ticket: Ticket): Promise<void> {
    const time = String(process.hrtime.bigint()).padStart(20, '0')
    const path = join(this.name, `${laneRank[ticket.lane]}-${time}-${randomUUID()}`)
    const write = async (): Promise<void> => {
      await mkdir(this.name, { recursive: true })
      await writeFile(path, encodeTicket(ticket), { flush: true })
      await rename(path, `${path}.ticket`)
    }
    try {
      // The folder may be purged between two of the three steps.
      await repeat(write, { tries: 3, pauseMs: 10, isPassing: errors.isPassing })
    } catch (error) {
      throw this.#failed('writing a ticket into', error)
    }
  }

  /** The files that wait. Their names begin with the lane's rank and the time, so their order is that of delivery. */
  async list(): Promise<string[]> {
    const files = await this.#ifThere('reading', () => readdir(this.name))
    return (files ?? []).filter((file) => file.endsWith('.ticket')).toSorted()
  }

  async take(max: number, fromLowest: number): Promise<SourceMessage<string>[]> {
    const files = await this.list()
    const [last] = files.toReversed()
    const lowest = files.filter((file) => file.slice(0, 3) === last?.slice(0, 3)).slice(0, fromLowest)
    const highest = files.filter((file) => !lowest.includes(file)).slice(0, max - lowest.length)
    const taken = await Promise.all([...highest, ...lowest].map((file) => this.#take(join(this.name, file))))
    return taken.filter((message) => message !== undefined)
  }

  arrival(signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(this.#pollMs, signal)
  }

  ack(path: string): Promise<void> {
    return rm(`${path}.taken`)
  }

  release(path: string): Promise<void> {
    return rename(`${path}.taken`, path)
  }

  setAside(path: string): Promise<void> {
    return rename(`${path}.taken`, `${path}.bad`)
  }

  /** Undefined if another worker was faster. */
  #take(path: string): Promise<SourceMessage<string> | undefined> {
    return this.#ifThere('taking a ticket from', async () => {
      await rename(path, `${path}.taken`)
      return { text: await readFile(`${path}.taken`), handle: path, id: path }
    })
  }

  /** Undefined if there is no such file or folder: somebody has taken it, or nobody has written there. */
  async #ifThere<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (errors.classify(error) === 'missing') return undefined
      throw this.#failed(what, error)
    }
  }

  #failed(what: string, error: unknown): Error {
    const advice = errors.advise(error) ?? 'see the cause'
    return driverError(`${what} ${this.name} failed: ${readMessage(error)}; ${advice}`, error)
  }
}
