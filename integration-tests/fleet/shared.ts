// Places on the servers that all tests of a run share: each test has a log and queues of its own there.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject, onTestFinished } from 'vitest'
import type { ProvidedContext } from 'vitest'
import { logKinds, findPlace, placeKinds } from './place.ts'
import type { BrokerKind, LogKind, PlaceKind } from './place.ts'
import { sceneOn } from './scene.ts'
import type { Finally, Scene, SceneOptions } from './scene.ts'
import { readPrefix, withParameters } from './urls.ts'

/** The URL of a server that the run has found. */
function provided({ provided: by }: { readonly provided?: keyof ProvidedContext }): string | undefined {
  return by && inject(by)
}

const reachable = logKinds.filter(({ server }) => server === undefined || provided(server) !== undefined)
/** The logs that this run can reach, by name. */
export const logs: readonly string[] = reachable.map(({ name }) => name)
/** The places that this run can reach. A broker has the log that it would have in production, if there is one. */
export const places: readonly PlaceKind[] = placeKinds
  .filter(({ log, broker }) => (broker ? provided(broker) !== undefined : reachable.includes(log)))
  .map((kind) => (kind.broker ? onLog(kind, kind.broker, reachable.at(-1)!) : kind))

function onLog(kind: PlaceKind, broker: BrokerKind, log: LogKind): PlaceKind {
  return { ...kind, title: `${broker.title} + ${log.title}`, log }
}

/** The environment of processes there. */
export type PlaceEnv = Readonly<Record<'ERRAND_LOG' | 'ERRAND_DRIVER', string>>

/** @param queues that a broker has to delete at the end */
export function makePlace(
  name: string,
  queues: readonly string[],
  atTheEnd: Finally = onTestFinished,
): PlaceEnv {
  const { log, broker } = places.find((each) => each.name === name) ?? findPlace(name)
  const ERRAND_LOG = newLog(log, atTheEnd)
  const server = broker && provided(broker)
  if (server === undefined) return { ERRAND_LOG, ERRAND_DRIVER: 'database' }
  const ERRAND_DRIVER = broker!.makeDriver(server)
  atTheEnd(() => broker!.deleteQueues(ERRAND_DRIVER, queues))
  return { ERRAND_LOG, ERRAND_DRIVER }
}

/** The URL of a log that only the test uses, by the name of its kind. */
export function makeLog(name: string, atTheEnd: Finally = onTestFinished): string {
  return newLog((places.find((each) => each.name === name) ?? findPlace(name)).log, atTheEnd)
}

/** The same, which makes its tables itself. */
export function makeEmptyLog(name: string): string {
  const url = makeLog(name)
  return url.startsWith('sqlite:') ? url : withParameters(url, { migrate: 'true', poolSize: '2' })
}

function newLog(kind: LogKind, atTheEnd: Finally): string {
  const name = `test_${randomBytes(6).toString('hex')}`
  const server = kind.server && provided(kind.server)
  const folder = server === undefined ? makeFolder(atTheEnd) : ''
  const url = kind.toUrl(server, name, folder)
  if (server !== undefined) atTheEnd(() => kind.remove?.(url))
  return url
}

export function makeFolder(atTheEnd: Finally = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface SharedScene extends Scene {
  /** For tests that look past the driver. */
  readonly prefix: string
}

/** @param name of a place; its driver is that of the options, if they have one */
export async function scene(name: string, options: SceneOptions = {}): Promise<SharedScene> {
  const { finally: atTheEnd = onTestFinished, driver } = options
  const folder = makeFolder(atTheEnd)
  const env = driver === undefined ? makePlace(name, ['work', 'aside', 'other'], atTheEnd) : undefined
  const url = env?.ERRAND_LOG ?? makeLog(name, atTheEnd)
  const own = env?.ERRAND_DRIVER ?? driver
  return { ...(await sceneOn(url, folder, { ...options, driver: own })), prefix: readPrefix(own) }
}
