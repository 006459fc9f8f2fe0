/**
 * Unpacks another version of a server than the machine's into a folder: the packages of a Debian suite with all that they need,
 * so that tests can start it from there. `pnpm unpack rabbitmq` takes RabbitMQ 4.3 from sid, `pnpm unpack rabbitmq trixie` 4.0;
 * `pnpm unpack pgbouncer` the newest PgBouncer. Prints the folder, for `ERRAND_TEST_RABBITMQ_ROOT` and
 * `ERRAND_TEST_PGBOUNCER_ROOT`. Needs root on Debian, and its mirror; installs nothing.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './workspace.ts'

interface Server {
  readonly packages: readonly string[]
  /** What the packages' own scripts would do, as far as the server needs it. */
  readonly finish?: (unpacked: string) => void
}

const servers = {
  rabbitmq: {
    // What its scripts call, too: essential packages are not among its dependencies.
    packages: [
      'rabbitmq-server',
      'base-files',
      'dash',
      'bash',
      'coreutils',
      'sed',
      'grep',
      'mawk',
      'hostname',
    ],
    finish(unpacked) {
      symlinkSync('mawk', join(unpacked, 'usr/bin/awk'))
      writeFileSync(join(unpacked, 'etc/hosts'), '127.0.0.1 localhost\n')
      writeFileSync(join(unpacked, 'etc/nsswitch.conf'), 'hosts: files\npasswd: files\n')
      writeFileSync(join(unpacked, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
    },
  },
  pgbouncer: { packages: ['pgbouncer', 'base-files'] },
} as const satisfies Readonly<Record<string, Server>>

/** The folder. @throws where the packages cannot be had. */
export function unpackServer(name: keyof typeof servers, suite: string = 'sid'): string {
  const { packages, finish }: Server = servers[name]
  const folder = join(root, 'node_modules', '.cache', `${name}-${suite}`)
  if (existsSync(folder)) return folder
  const work = `${folder}.${process.pid}`
  try {
    const apt = aptFor(suite, work)
    const env = { ...process.env, APT_CONFIG: apt }
    execFileSync('apt-get', ['-q', 'update'], { env, stdio: ['ignore', 2, 2] })
    execFileSync('apt-get', ['-q', '-y', '--download-only', 'install', ...packages], {
      env,
      stdio: ['ignore', 2, 2],
    })
    const archives = join(work, 'cache', 'archives')
    const unpacked = join(work, 'root')
    mkdirSync(unpacked)
    for (const file of readdirSync(archives).filter((each) => each.endsWith('.deb')))
      execFileSync('dpkg-deb', ['-x', join(archives, file), unpacked])
    finish?.(unpacked)
    renameSync(unpacked, folder)
    return folder
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function isServer(name: string): name is keyof typeof servers {
  return Object.hasOwn(servers, name)
}

/** apt with lists, a cache and a state of its own, on the mirror that this machine uses. */
function aptFor(suite: string, work: string): string {
  const targets = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI) $(RELEASE)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  )
  const mirror = targets
    .split('\n')
    .find((line) => /\/debian\/? /.test(line))
    ?.split(' ')[0]
  if (mirror === undefined) throw new Error('this machine has no mirror of Debian in its sources')
  for (const each of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, each), { recursive: true })
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg'
  writeFileSync(
    join(work, 'sources.list'),
    `deb [check-valid-until=no signed-by=${keys}] ${mirror} ${suite} main\n`,
  )
  writeFileSync(join(work, 'status'), '')
  const settings = {
    'Dir::Etc::SourceList': join(work, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State': work,
    'Dir::State::Lists': join(work, 'lists'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  }
  const path = join(work, 'apt.conf')
  writeFileSync(
    path,
    Object.entries(settings)
      .map(([name, value]) => `${name} "${value}";\n`)
      .join(''),
  )
  return path
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [name = '', suite] = process.argv.slice(2)
  if (isServer(name)) console.log(unpackServer(name, suite))
  else {
    console.error(`pnpm unpack ${Object.keys(servers).join('|')} [SUITE]`)
    process.exitCode = 2
  }
}
