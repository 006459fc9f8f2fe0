// Vitest's global setup of every project that needs a server: finds the servers once for the run, for all projects.
import type { TestProject } from 'vitest/node'
import './provided.ts'
import { postgres } from './postgres.ts'
import { rabbitmq } from './rabbitmq.ts'
import { type Found, find, type Service } from './service.ts'
import { sqs } from './sqs.ts'

/** Add the next service here (its type in provided.ts). */
const services: readonly Service[] = [postgres, rabbitmq, sqs]

export interface Servers {
  readonly found: Promise<ReadonlyMap<Service, Found>>
  users: number
}

// Each project loads this module again, so what they share must be outside it.
const key = Symbol.for('errand.test.servers')
const shared = globalThis as { [key]?: Servers }

/** For the reporter: the servers of this run, if any project asked for them. */
export function serversOfThisRun(): Servers | undefined {
  return shared[key]
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers = (shared[key] ??= { found: findAll(), users: 0 })
  servers.users += 1
  for (const [service, { server, why }] of await servers.found) {
    if (!server && process.env['CI'] === 'true')
      throw new Error(`${service.name} is missing, and CI=true: ${why}`)
    project.provide(service.name, server?.url)
  }
  return async () => {
    servers.users -= 1
    if (servers.users > 0) return
    await stopAll(await servers.found)
    // In watch mode a later run finds them again.
    delete shared[key]
  }
}

async function findAll(): Promise<ReadonlyMap<Service, Found>> {
  const found = services.map(
    async (service) => [service, await find(service, process.env[service.variable])] as const,
  )
  return new Map(await Promise.all(found))
}

async function stopAll(found: ReadonlyMap<Service, Found>): Promise<void> {
  await Promise.all([...found.values()].map(async ({ server }) => server?.stop()))
}
