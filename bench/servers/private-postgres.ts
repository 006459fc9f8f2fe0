import { execFile } from 'node:child_process'
import { chownSync, globSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { freePort, leashed } from './leash.ts'

const run = promisify(execFile)

/**
 * Durable, as every package configures it. The server begins no vacuum and no checkpoint in the middle of a phase; the bench
 * asks for a checkpoint before each.
 */
const settings = ['autovacuum=off', 'max_wal_size=8GB', 'checkpoint_timeout=1h', 'max_connections=200']
const bootMs = 30_000

export interface PrivatePostgres {
  readonly url: string
  readonly pid: number
  /** Its programs. */
  readonly bin: string
  readonly data: string
  end(): Promise<void>
}

/** A server of the run's own, from the machine's packages: only the bench writes to it and uses it. */
export async function startPostgres(folder: string): Promise<PrivatePostgres | undefined> {
  const bin = await programs()
  if (bin === undefined) return undefined
  const home = join(folder, 'postgres')
  const data = join(home, 'data')
  mkdirSync(home)
  const user = unprivileged()
  if (user) {
    chownSync(home, user.uid, user.gid)
    chownSync(folder, user.uid, user.gid)
  }
  const options = { cwd: home, ...user, env: { ...process.env, LC_ALL: 'C', HOME: home } }
  await run(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
    options,
  )
  const port = await freePort()
  const more = settings.flatMap((one) => ['-c', one])
  const server = leashed(
    'INT',
    [join(bin, 'postgres'), '-D', data, '-p', `${port}`, '-h', '127.0.0.1', '-k', home, ...more],
    options,
  )
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const deadline = Date.now() + bootMs
  while (!(await answers(url))) {
    if (Date.now() > deadline) throw new Error('the private PostgreSQL did not start')
    await pause(50)
  }
  const [pid] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  return { url, pid: Number(pid), bin, data, end: () => server.end() }
}

/** Where the newest `postgres` is: on the path, or where Debian's packages have it. */
async function programs(): Promise<string | undefined> {
  const [newest] = globSync('/usr/lib/postgresql/*/bin').toSorted(
    (a, b) => Number(b.split('/')[4]) - Number(a.split('/')[4]),
  )
  if (newest !== undefined) return newest
  const asked = await run('pg_config', ['--bindir']).catch(() => undefined)
  const bin = asked?.stdout.trim()
  return bin !== undefined && globSync(join(bin, 'initdb')).length > 0 ? bin : undefined
}

/** PostgreSQL refuses root. */
function unprivileged(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  return user && { uid: Number(user[2]), gid: Number(user[3]) }
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url })
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
