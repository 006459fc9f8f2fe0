import { execFileSync } from 'node:child_process'
import { accessSync, chmodSync, constants, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { until } from '@errand/testkit'
import { unpackPackage } from './debian-packages.ts'
import { accepts, freePort } from './free-port.ts'
import { leashed } from './leash.ts'

export interface PgBouncer {
  /** The URL of its database, through PgBouncer. */
  readonly url: string
  readonly version: string
  stop(): Promise<void>
}

export interface PgBouncerOptions {
  /** The server behind it. */
  readonly url: string
  readonly mode: 'transaction' | 'session'
  /** More lines of its configuration: `default_pool_size = 5`. */
  readonly settings?: readonly string[] | undefined
}

/** How to start it, and where to find the libraries that the machine lacks. */
interface Program {
  readonly command: readonly [string, ...string[]]
  readonly libraries: string
}

const name = 'sbin/pgbouncer'

/**
 * A PgBouncer of your own: of `ERRAND_TEST_PGBOUNCER_ROOT` (`pnpm server:unpack pgbouncer` makes such a folder), as installed,
 * or of Debian's package. Undefined if none of them can be had.
 */
export async function startPgBouncer({
  url,
  mode,
  settings = [],
}: PgBouncerOptions): Promise<PgBouncer | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-pgbouncer-'))
  // It runs as another user.
  chmodSync(folder, 0o755)
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  const program = unpackedElsewhere() ?? installed() ?? unpackedHere()
  if (!program) {
    remove()
    return undefined
  }
  const { hostname, port: behind, username, password, pathname } = new URL(url)
  const port = await freePort()
  const file = join(folder, 'pgbouncer.ini')
  const lines = [
    '[databases]',
    `* = host=${hostname} port=${behind || '5432'} user=${username}${password === '' ? '' : ` password=${password}`}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `pool_mode = ${mode}`,
    // It refuses to be root.
    ...(process.getuid?.() === 0 ? ['user = nobody'] : []),
    ...settings,
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const [command, ...parameters] = program.command
  const env = { ...process.env, LD_LIBRARY_PATH: program.libraries }
  const server = leashed(command, [...parameters, file], { cwd: folder, env, folder })
  let said = ''
  for (const stream of [server.process.stdout, server.process.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)))
  const stop = async (): Promise<void> => {
    server.letGo()
    server.signal('SIGKILL')
    remove()
  }
  try {
    await until(() => accepts(port), { what: 'PgBouncer listens' })
  } catch (error) {
    await stop()
    throw new Error(`PgBouncer did not start: ${said}`, { cause: error })
  }
  const version = execFileSync(command, [...parameters, '--version'], { env, encoding: 'utf8' }).split(
    '\n',
  )[0]
  return { url: `postgres://${username}@127.0.0.1:${port}${pathname}`, version: version ?? '', stop }
}

/** Its own loader finds its own libraries, so none of the machine's are used. */
function unpackedElsewhere(): Program | undefined {
  const root = process.env['ERRAND_TEST_PGBOUNCER_ROOT']
  if (root === undefined) return undefined
  const [loader] = globSync([`${root}/usr/lib*/ld-linux-*.so.*`, `${root}/usr/lib/*/ld-linux-*.so.*`])
  if (loader === undefined) throw new Error(`ERRAND_TEST_PGBOUNCER_ROOT=${root} has no loader of programs`)
  const libraries = globSync(`${root}/usr/lib/*-linux-gnu`).join(delimiter)
  return { command: [loader, '--library-path', libraries, join(root, 'usr', name)], libraries: '' }
}

function installed(): Program | undefined {
  const folders = ['/usr/sbin', ...(process.env['PATH'] ?? '').split(delimiter)]
  const command = folders.map((folder) => join(folder, 'pgbouncer')).find(isExecutable)
  return command === undefined ? undefined : { command: [command], libraries: '' }
}

function unpackedHere(): Program | undefined {
  const folder = unpackPackage('pgbouncer')
  if (folder === undefined) return undefined
  const command = join(folder, 'usr', name)
  if (!isExecutable(command)) return undefined
  return { command: [command], libraries: globSync(join(folder, 'usr/lib/*-linux-gnu')).join(delimiter) }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
