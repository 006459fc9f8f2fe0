// A place: a job log, and what moves its tickets. Each log is a file of `logs`, and each broker a file of `brokers`. Nothing
// else names them. Here they are on servers that a test may kill, each behind fault proxies. `shared.ts` has them on the
// servers that all tests of a run share.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProvidedContext } from 'vitest'
import type { DriverFactory, Lane } from '@errand/core/ports'
import { startFaultProxy } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import type { FaultName } from '../faults/faults.ts'
import type { PrivatePostgres } from '../services/private-postgres.ts'
import type { Finally } from './scene.ts'

/** Which faults cannot happen there, and why. */
type Cannot = Readonly<Partial<Record<FaultName, string>>>

export interface LogKind {
  readonly name: string
  /** For people. */
  readonly title: string
  readonly cannot: Cannot
  /** Undefined: a file, which has no server that could be away. */
  readonly server?: {
    /** The name by which a run provides one. */
    readonly provided: keyof ProvidedContext
    /** Why this machine cannot start one; undefined if it can. */
    missing(): string | undefined
    start(): Promise<PrivatePostgres | undefined>
  }
  /** The URL of a log of this name: on the server, or else in the folder. */
  toUrl(server: string | undefined, name: string, folder: string): string
  /** The same log, set so that it soon notices a server that does not answer. */
  hasty?(url: string): string
  /** Nobody else can read or write in that time; if the log is a file, nobody else can write. */
  whileLocked(url: string, act: () => Promise<void>): Promise<void>
  /** Removes a log from its server. */
  remove?(url: string): Promise<void>
}

/** A server of the test's own. If a broker cannot do something, that function is missing. */
interface BrokerServer {
  readonly url: string
  readonly port: number
  /** Kills it as a power loss would; `start` brings it back. */
  kill(): Promise<void>
  /** Ends it in order. */
  readonly shutDown?: () => Promise<void>
  /** Ends it and removes everything that it has stored; `start` brings it back, empty. */
  wipe(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
  /** Closes connections with the operator's own tool. */
  closeConnections?(): Promise<void>
  /** It takes nothing from publishers in that time. `blocked` resolves when they notice. */
  readonly whileAlarmed?: (act: (blocked: () => Promise<unknown>) => Promise<void>) => Promise<void>
}

/** A broker, by the URLs of its driver. A test changes its queues without the driver. */
export interface BrokerKind {
  readonly name: string
  /** For people. */
  readonly title: string
  /** The name by which a run provides one for all of its tests, if it does. */
  readonly provided?: keyof ProvidedContext
  readonly cannot: Cannot
  /** A worker that waits for a ticket may hear nothing for long even if all is well. */
  readonly waitsInSilence?: boolean
  missing(): string | undefined
  start(): Promise<BrokerServer>
  /** The URL of its driver on a server, with queues that nobody else uses. */
  makeDriver(server: string): string
  /** The same driver, set so that tickets of a frozen worker come back soon. */
  hasty(driver: string): string
  factory(driver: string): Promise<DriverFactory>
  deleteQueues(driver: string, queues: readonly string[]): Promise<void>
  /** Puts messages on a lane. */
  put(driver: string, queue: string, lane: Lane, contents: readonly Buffer[]): Promise<void>
  /** Makes a queue as no driver would. `says`: what the driver's error names. */
  readonly declareOtherwise?: (
    driver: string,
    queue: string,
    lane: Lane,
  ) => Promise<{ readonly says: string; remove(): Promise<void> }>
}

/** What Errand runs on, named after what moves the tickets. */
export interface PlaceKind {
  readonly name: string
  /** For people. */
  readonly title: string
  readonly log: LogKind
  readonly broker: BrokerKind | undefined
}

/** The files of a folder, by their exports. */
async function load<T>(folder: string): Promise<readonly T[]> {
  const files = readdirSync(join(import.meta.dirname, folder)).toSorted()
  return Promise.all(files.map((file) => import(join(import.meta.dirname, folder, file)) as Promise<T>))
}

/** Logs that are files come first: they need no server. */
export const logKinds: readonly LogKind[] = (await load<{ readonly log: LogKind }>('logs'))
  .map(({ log }) => log)
  .toSorted((a, b) => Number(a.server !== undefined) - Number(b.server !== undefined))
/** The log of a fleet in production. */
const usual = logKinds.at(-1)!
export const placeKinds: readonly PlaceKind[] = [
  ...logKinds.map((log) => ({ name: log.name, title: log.title, log, broker: undefined })),
  ...(await load<{ readonly broker: BrokerKind }>('brokers')).map(({ broker }) => ({
    name: broker.name,
    title: `${broker.title} + ${usual.title}`,
    log: usual,
    broker,
  })),
]

export function findPlace(name: string): PlaceKind {
  const found = placeKinds.find((kind) => kind.name === name)
  if (!found)
    throw new Error(
      `there is no place "${name}"; there are ${placeKinds.map((kind) => kind.name).join(', ')}`,
    )
  return found
}

interface Proxies {
  /** Between the processes and the log's server; between them and the broker. */
  readonly log: FaultProxy | undefined
  readonly broker: FaultProxy | undefined
}

/** A place on servers of its own. */
export interface Place {
  readonly kind: PlaceKind
  readonly folder: string
  /** The log's URL without a proxy, for the test itself. */
  readonly log: string
  readonly driver: string | undefined
  /** How the processes of the fleet reach the log and the broker. */
  readonly env: Readonly<Record<'ERRAND_LOG' | 'ERRAND_DRIVER', string>>
  /** The log's server. */
  readonly server: PrivatePostgres | undefined
  readonly broker: BrokerServer | undefined
  readonly proxies: Proxies
  /** The same broker past its proxy, with queues that nobody else uses: for jobs of another log. */
  readonly makeOwnDriver: () => string | undefined
  /** The environment of one process that reaches its servers through proxies of its own. */
  openThrough(atTheEnd: Finally): Promise<Proxies & Pick<Place, 'env'>>
}

/** Why this machine cannot have the place; undefined if it can. */
export function missingAt({ log, broker }: PlaceKind): string | undefined {
  return log.server?.missing() ?? broker?.missing()
}

/** @throws where the machine cannot have it: see `missingAt`. */
export async function openPlace(name: string, atTheEnd: Finally): Promise<Place> {
  const kind = findPlace(name)
  const missing = missingAt(kind)
  if (missing !== undefined) throw new Error(missing)
  const folder = mkdtempSync(join(tmpdir(), 'errand-place-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  const [server, broker] = await Promise.all([kind.log.server?.start(), kind.broker?.start()])
  for (const each of [server, broker]) if (each) atTheEnd(() => each.stop())

  const url = kind.log.toUrl(server?.url, 'faults', folder)
  const log = kind.log.hasty?.(url) ?? url
  const makeOwnDriver = () => kind.broker && broker && kind.broker.hasty(kind.broker.makeDriver(broker.url))
  const parts = { kind, folder, log, driver: makeOwnDriver(), server, broker, makeOwnDriver }
  return placeOn(parts, atTheEnd)
}

type Parts = Pick<Place, 'kind' | 'folder' | 'log' | 'driver'> &
  Partial<Pick<Place, 'server' | 'broker' | 'makeOwnDriver'>>

/** The place of these parts, with proxies before the servers that are its own. */
export async function placeOn(parts: Parts, atTheEnd: Finally): Promise<Place> {
  const { log, driver, server, broker, makeOwnDriver = () => driver } = parts
  const openThrough = async (finallyDo: Finally) => {
    const proxies = { log: await proxied(server, finallyDo), broker: await proxied(broker, finallyDo) }
    const env = {
      ERRAND_LOG: rerouted(log, server?.port, proxies.log),
      ERRAND_DRIVER: rerouted(driver ?? 'database', broker?.port, proxies.broker),
    }
    return { ...proxies, env }
  }
  const { env, ...proxies } = await openThrough(atTheEnd)
  return { ...parts, env, server, broker, proxies, makeOwnDriver, openThrough }
}

/** A proxy in front of a server, if there is one. */
async function proxied(
  server: { readonly port: number } | undefined,
  atTheEnd: Finally,
): Promise<FaultProxy | undefined> {
  if (server === undefined) return undefined
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: server.port })
  atTheEnd(() => proxy.close())
  return proxy
}

/** The same server, through the proxy. A port may stand in a parameter. */
function rerouted(url: string, port: number | undefined, proxy: FaultProxy | undefined): string {
  return proxy === undefined ? url : url.replace(new RegExp(`(:|%3A)${port}`), `$1${proxy.port}`)
}
