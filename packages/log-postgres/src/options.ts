import { Client } from 'pg'
import { checkOptions, ErrandError } from '@errand/core/ports'
import { nameHost, sessionKinds, splitHosts } from './hosts.ts'
import type { SessionKind } from './hosts.ts'
import { quoteSchema } from './names.ts'
import { splitUrl } from './url-parameters.ts'

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:port/database`; TLS by `?sslmode=…`, as in every client of PostgreSQL. Of several hosts
   * (`a:5432,b:5432`) the first is used that can be written; `?target_session_attrs=any` takes a standby as well. It may
   * carry the other options, too: `?schema=jobs&poolSize=20`.
   */
  readonly url: string
  /** Schema of the log's tables. Default `errand`. */
  readonly schema?: string | undefined
  /** Connections for statements, besides one to listen and one to notify. Default 10. */
  readonly poolSize?: number | undefined
  /** Milliseconds that a statement may take before its connection is given up. Default 15,000. */
  readonly statementTimeout?: number | undefined
  /** Create or update the schema when connecting. Default false: `errand migrate` does it. */
  readonly migrate?: boolean | undefined
  /** Wake workers by LISTEN. Off for a pooler that cannot (PgBouncer in transaction mode): workers poll then. Default true. */
  readonly listen?: boolean | undefined
  /** Named prepared statements. Off for a pooler that cannot keep them. Default true. */
  readonly preparedStatements?: boolean | undefined
}

/** The options with their defaults, checked. Plain data: the heartbeat's thread gets a copy. */
export interface ResolvedOptions {
  /** One for each host, in turn. */
  readonly urls: readonly string[]
  readonly sessions: SessionKind
  readonly schema: string
  readonly poolSize: number
  readonly statementTimeoutMs: number
  readonly migrate: boolean
  readonly listen: boolean
  readonly preparedStatements: boolean
}

const known = ['url', 'schema', 'poolSize', 'statementTimeout', 'migrate', 'listen', 'preparedStatements']

/** @throws `E_URL`, `E_OPTION`; no message ever shows the URL, which may hold a password */
export function resolveOptions(given: string | PostgresOptions): ResolvedOptions {
  const options = merged(given)
  const { schema = 'errand', poolSize = 10, statementTimeout = 15_000 } = options
  quoteSchema(schema)
  checkWhole('poolSize', poolSize, 1, 1_000)
  checkWhole('statementTimeout', statementTimeout, 100, 3_600_000)
  return Object.freeze({
    urls: splitHosts(options.url),
    sessions: parseSessions(options.url),
    schema,
    poolSize,
    statementTimeoutMs: statementTimeout,
    migrate: checkFlag('migrate', options.migrate ?? false),
    listen: checkFlag('listen', options.listen ?? true),
    preparedStatements: checkFlag('preparedStatements', options.preparedStatements ?? true),
  })
}

/** The options, and those that the URL holds. */
function merged(given: string | PostgresOptions): PostgresOptions {
  if (typeof given !== 'string') checkOptions('postgres()', given, known)
  const { url, ...beside } = typeof given === 'string' ? { url: given } : given
  checkUrl(url)
  const inUrl = splitUrl(url)
  for (const [name, value] of Object.entries(beside)) {
    if (value !== undefined && inUrl[name as keyof PostgresOptions] !== undefined)
      throw new ErrandError('E_OPTION', `${name} is given as an option of postgres() and in its URL`)
  }
  const said = Object.entries(beside).filter(([, value]) => value !== undefined)
  return { ...inUrl, ...Object.fromEntries(said) }
}

/** Where the log is, for people: hosts, ports and database, without user and password. */
export function describePlace({ urls }: ResolvedOptions): string {
  const { database } = new Client({ connectionString: urls[0] })
  return `${urls.map((url) => nameHost(url)).join(',')}/${database ?? ''}`
}

function checkUrl(url: unknown): asserts url is string {
  if (typeof url !== 'string' || !/^postgres(ql)?:\/\//.test(url))
    throw new ErrandError('E_URL', 'the URL of a PostgreSQL log begins with postgres:// (or postgresql://)')
  const urls = splitHosts(url)
  try {
    // The same reading as the client's, which knows sockets and several forms of a host.
    for (const each of urls) void new Client({ connectionString: each })
  } catch (error) {
    const file = unreadableFile(error)
    if (file !== undefined)
      throw new ErrandError(
        'E_OPTION',
        `the URL of the PostgreSQL log names the file ${file} for TLS (sslrootcert, sslcert or sslkey), and it cannot be read: give its path as this process sees it`,
        { cause: error },
      )
    throw new ErrandError(
      'E_URL',
      'the URL of the PostgreSQL log cannot be read; write postgres://<user>:<password>@<host>:5432/<database>, with special characters of the password percent-encoded',
    )
  }
}

/** The client opens the files of TLS when it reads the URL. */
function unreadableFile(error: unknown): string | undefined {
  const isOfSystem = error instanceof Error && 'syscall' in error && 'path' in error
  return isOfSystem && typeof error.path === 'string' ? error.path : undefined
}

/** With the names of libpq. */
function parseSessions(url: string): SessionKind {
  const given = new URLSearchParams(url.split('?', 2)[1]).get('target_session_attrs') ?? 'read-write'
  const kind = sessionKinds.find((each) => each === given)
  if (kind !== undefined) return kind
  throw new ErrandError(
    'E_OPTION',
    `target_session_attrs is ${sessionKinds.join(', ')} for a job log, which is written; not ${JSON.stringify(given)}`,
  )
}

function checkWhole(name: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return
  throw new ErrandError(
    'E_OPTION',
    `${name} is a whole number from ${least} to ${most}, not ${String(value)}`,
  )
}

function checkFlag(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new ErrandError('E_OPTION', `${name} is true or false, not ${String(value)}`)
}
