import { type ChildProcess, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { accepts, freePort } from './free-port.ts'
import { leashed } from './leash.ts'
import type { Leashed } from './leash.ts'
import { findUser } from './user.ts'
import type { User } from './user.ts'

export interface PrivateRabbitmq {
  readonly url: string
  readonly port: number
  readonly version: string
  readonly folder: string
  /** Kills the node as a power loss would; `start()` brings it back on the same port and data. */
  kill(): Promise<void>
  /** Shuts the node down in order; `start()` brings it back. */
  shutDown(): Promise<void>
  start(): Promise<void>
  /** Removes everything that the node has stored: queues, users, permissions. Only while it does not run. */
  wipe(): void
  /** Runs the operator's tool on this node, and resolves with its output. */
  rabbitmqctl(...parameters: readonly string[]): Promise<string>
  /** Ends the node and removes its folder. */
  stop(): Promise<void>
}

export interface PrivateRabbitmqOptions {
  /** More lines of `rabbitmq.conf`: `consumer_timeout = 5000`. May name files of the given folder. */
  readonly config?: ((folder: string) => readonly string[]) | undefined
  /** What `rabbitmq.conf` has no name for, as Erlang terms: `[{rabbit, [{channel_tick_interval, 1000}]}].` */
  readonly advanced?: string | undefined
}

/** A system in a folder, with another RabbitMQ than the machine's: `pnpm server:unpack rabbitmq` makes one. */
const root = process.env['ERRAND_TEST_RABBITMQ_ROOT']

/** Only the program sees these mounts, and they end with it. */
const inRoot = `
mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" || exit 1
mkdir -p "$1$2" && mount --bind "$2" "$1$2" || exit 1
root=$1; shift 2
exec chroot "$root" "$@"`

/** A program of RabbitMQ's, with the node's folder in its place. */
function findCommand(program: string, folder: string): readonly [string, ...string[]] {
  if (root === undefined) return [program]
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    '/bin/sh',
    '-c',
    inRoot,
    'sh',
    root,
    folder,
    program,
  ]
}

export function isRabbitmqInstalled(): boolean {
  return executable('rabbitmq-server') !== undefined && executable('rabbitmqctl') !== undefined
}

/** A RabbitMQ node of your own, which a test may kill. Undefined if no RabbitMQ is installed. */
export async function startPrivateRabbitmq(
  options: PrivateRabbitmqOptions = {},
): Promise<PrivateRabbitmq | undefined> {
  const server = executable('rabbitmq-server')
  const tool = executable('rabbitmqctl')
  if (server === undefined || tool === undefined) return undefined

  const folder = mkdtempSync(join(tmpdir(), 'errand-rabbitmq-'))
  const user = brokerUser()
  const own = (path: string): void => {
    if (user) chownSync(path, user.uid, user.gid)
  }
  own(folder)
  const node = await layOut(folder, options, own)
  const surroundings = {
    cwd: folder,
    ...user,
    // Without the machine's settings of RabbitMQ, in /etc and in the environment, which are for the machine's own node.
    env: {
      ...node.environment,
      PATH: root ? '/usr/sbin:/usr/bin' : (process.env['PATH'] ?? ''),
      LANG: 'C.UTF-8',
    },
  }

  const run = promisify(execFile)
  const rabbitmqctl = async (...parameters: readonly string[]): Promise<string> => {
    const [command, ...before] = findCommand(tool, folder)
    const told = [...before, '--quiet', '--node', node.name, ...parameters]
    const { stdout } = await run(command, told, surroundings)
    return stdout
  }

  let running: Leashed | undefined
  const ended = async (how: (server: Leashed) => void): Promise<void> => {
    const ending = running
    running = undefined
    if (!ending) return
    const { process: server } = ending
    if (server.exitCode === null && server.signalCode === null) {
      const exit = once(server, 'exit')
      how(ending)
      await exit
    }
    // The node is several processes, and the script that was started may have ended before them.
    ending.letGo()
    ending.signal('SIGKILL')
    while (await accepts(node.port)) await moment()
  }
  const start = async (): Promise<void> => {
    const [command, ...parameters] = findCommand(server, folder)
    running = leashed(command, parameters, { ...surroundings, folder })
    await ready(running.process, node.port)
  }
  const kill = (): Promise<void> => ended((node) => node.signal('SIGKILL'))

  try {
    await start()
    const version = (await rabbitmqctl('version')).trim()
    return {
      url: `amqp://guest:guest@127.0.0.1:${node.port}`,
      port: node.port,
      version,
      folder,
      start,
      kill,
      shutDown: () => ended((node) => node.signal('SIGTERM')),
      wipe: () => rmSync(node.data, { recursive: true, force: true }),
      rabbitmqctl,
      stop: async () => {
        await kill()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await kill()
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

interface Node {
  readonly name: string
  readonly port: number
  readonly data: string
  readonly environment: Readonly<Record<string, string>>
}

async function layOut(
  folder: string,
  { config, advanced = '[].' }: PrivateRabbitmqOptions,
  own: (path: string) => void,
): Promise<Node> {
  const port = await freePort()
  const distributionPort = await freePort()
  const name = `errand-${port}@localhost`
  const data = join(folder, 'data')
  const file = (base: string, lines: readonly string[]): string => {
    const path = join(folder, base)
    writeFileSync(path, lines.join('\n') + '\n')
    own(path)
    return path
  }
  chmodSync(file('.erlang.cookie', [randomBytes(16).toString('hex')]), 0o400)
  const configuration = file('rabbitmq.conf', [
    `listeners.tcp.local = 127.0.0.1:${port}`,
    'log.file.level = warning',
    'disk_free_limit.absolute = 50MB',
    'vm_memory_high_watermark.absolute = 1GB',
    ...(config?.(folder) ?? []),
  ])
  return {
    name,
    port,
    data,
    environment: {
      HOME: folder,
      RABBITMQ_NODENAME: name,
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_MNESIA_BASE: data,
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
      RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', ['[].']),
      RABBITMQ_CONFIG_FILE: configuration,
      RABBITMQ_ADVANCED_CONFIG_FILE: file('advanced.config', [advanced]),
      RABBITMQ_CONF_ENV_FILE: file('rabbitmq-env.conf', []),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}',
      ERL_EPMD_ADDRESS: '127.0.0.1',
    },
  }
}

/** Waits for the listener, which a node opens last when it starts. */
async function ready(server: ChildProcess, port: number): Promise<void> {
  let said = ''
  for (const stream of [server.stdout, server.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000)
    })
  const givesUpAt = performance.now() + 120_000
  while (!(await accepts(port))) {
    if (server.exitCode !== null || server.signalCode !== null || performance.now() > givesUpAt) {
      throw new Error(`rabbitmq-server did not start (${server.exitCode ?? server.signalCode}): ${said}`)
    }
    await moment()
  }
}

function moment(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 50)
  })
}

/** Debian's command in the path works only for the machine's own node. This finds the program that it calls. */
function executable(name: string): string | undefined {
  const packaged = '/usr/lib/rabbitmq/bin'
  const folders = root ? [packaged] : [packaged, ...(process.env['PATH'] ?? '').split(delimiter)]
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(`${root ?? ''}${path}`, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** As root, the node runs as the user `rabbitmq`, if there is one, because its tool requires the same user. */
function brokerUser(): User | undefined {
  if (process.getuid?.() !== 0 || root !== undefined) return undefined
  return findUser('rabbitmq')
}
