import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { pidListening } from './listening.ts'
import { startPostgres } from './private-postgres.ts'
import type { PrivatePostgres } from './private-postgres.ts'
import type { FindServer, Written } from './server.ts'

const loopback = 'postgres://postgres@127.0.0.1:5432/postgres'
const run = promisify(execFile)

/**
 * A server of the run's own, or a database of its own on the given server (else on the one at the usual port). It has the
 * server's own settings: durable, unless the server is configured otherwise.
 */
export const findPostgres: FindServer = async (setting, folder) => {
  const own = setting === undefined ? await startPostgres(folder) : undefined
  const url = own?.url ?? setting ?? loopback
  const name = `errand_bench_${randomBytes(5).toString('hex')}`
  let about: string
  try {
    await query(url, `create database ${name}`)
    about = await describe(url)
  } catch (error) {
    await own?.end()
    return `no PostgreSQL that lets this user create a database: ${(error as Error).message}`
  }
  const database = new URL(url)
  database.pathname = `/${name}`
  return {
    url: database.href,
    what: own ? `${about}, private` : about,
    pid: own?.pid ?? pidListening(url, 5432),
    // A checkpoint in the middle of a phase would make its figures worse.
    settle: async () => {
      await query(url, 'checkpoint').catch(() => undefined)
    },
    written: () => written(url, name),
    indexEntries: async (from, to) => own && indexEntries(own, from, to),
    diskBytes: async (space) => {
      // Parts of a partitioned table stand there as tables, and its own row has no file.
      const [row] = await query(
        database.href,
        `select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class
          where relkind = 'r' and relnamespace = (select oid from pg_namespace where nspname = '${space}')`,
      )
      return Number(row?.[0])
    },
    wipe: async (space) => {
      await query(database.href, `drop schema if exists "${space}" cascade`)
    },
    release: async () => {
      await query(url, `drop database if exists ${name} with (force)`)
      await own?.end()
    },
  }
}

async function written(url: string, database: string): Promise<Written> {
  try {
    // This commit waits for the disk. After it, everything before it can be read from the files of the WAL.
    await query(url, `select pg_logical_emit_message(true, 'bench', '')`)
    const [row] = await query(
      url,
      `select pg_current_wal_insert_lsn(), pg_current_wal_insert_lsn() - '0/0',
              (select xact_commit from pg_stat_database where datname = '${database}')`,
    )
    const [lsn, bytes, commits] = row ?? []
    return { lsn, walBytes: Number(bytes), commits: Number(commits) }
  } catch {
    // A user that may create a database may still not see the log.
    return { lsn: undefined, walBytes: 0, commits: undefined }
  }
}

/** By the log's records: new entries, those of a split page included. */
async function indexEntries(
  { bin, data }: PrivatePostgres,
  from: string,
  to: string,
): Promise<number | undefined> {
  const program = join(bin, 'pg_waldump')
  if (!existsSync(program)) return undefined
  const { stdout } = await run(program, ['-p', join(data, 'pg_wal'), '--stats=record', '-s', from, '-e', to])
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([name]) => /^Btree\/(INSERT_LEAF|INSERT_POST|SPLIT_[LR])$/.test(name ?? ''))
    .reduce((sum, [, count]) => sum + Number(count), 0)
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
