import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import type { FindServer } from './server.ts'

const loopback = 'postgres://postgres@127.0.0.1:5432/postgres'

/** A database of the run's own, with the server's own settings: durable, unless the server says otherwise. */
export const findPostgres: FindServer = async (setting) => {
  const url = setting ?? loopback
  const name = `errand_bench_${randomBytes(5).toString('hex')}`
  let about: string
  try {
    await query(url, `create database ${name}`)
    about = await describe(url)
  } catch (error) {
    return `no PostgreSQL that lets this user create a database: ${(error as Error).message}`
  }
  const own = new URL(url)
  own.pathname = `/${name}`
  return {
    url: own.href,
    what: about,
    // A checkpoint in the middle of a phase would be that subject's bad luck.
    settle: async () => {
      await query(url, 'checkpoint').catch(() => undefined)
    },
    wipe: async (space) => {
      await query(own.href, `drop schema if exists "${space}" cascade`)
    },
    release: async () => {
      await query(url, `drop database if exists ${name} with (force)`)
    },
  }
}

async function describe(url: string): Promise<string> {
  const [row] = await query(
    url,
    `select current_setting('server_version'), current_setting('synchronous_commit'), current_setting('fsync')`,
  )
  const [version = '', commit, fsync] = row ?? []
  const durable =
    commit === 'on' && fsync === 'on'
      ? 'durable'
      : `NOT durable: synchronous_commit ${commit}, fsync ${fsync}`
  return `PostgreSQL ${version.split(' ').at(0)}, ${durable}`
}

async function query(url: string, text: string): Promise<string[][]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    const { rows } = await client.query<string[]>({ text, rowMode: 'array' })
    return rows
  } finally {
    await client.end()
  }
}
