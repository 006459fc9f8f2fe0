import { checkParameters, ErrandError, parseFlag } from '@errand/core/ports'
import type { PostgresOptions } from './options.ts'

/** The log's own options. */
const own = ['schema', 'poolSize', 'statementTimeout', 'migrate', 'listen', 'preparedStatements'] as const

/** What the client reads in a URL, pg 8.23, by the names that libpq has where it has them. */
const clients = [
  'host',
  'port',
  'user',
  'password',
  'ssl',
  'sslmode',
  'sslcert',
  'sslkey',
  'sslrootcert',
  'sslnegotiation',
  'uselibpqcompat',
  'application_name',
  'fallback_application_name',
  'client_encoding',
  'options',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
] as const

/** What libpq reads, and pg does not: see hosts.ts. */
const ofHosts = ['target_session_attrs'] as const

const known = [...own, ...clients, ...ofHosts] as const

/** Parameters of URLs for Prisma that have an equivalent here. */
const prismas = ['connection_limit', 'pgbouncer'] as const

/** Parameters of others, which would do nothing here. */
const elsewhere: Readonly<Record<string, string>> = {
  pool_timeout: 'Prisma',
  socket_timeout: 'Prisma',
  statement_cache_size: 'Prisma',
  sslaccept: 'Prisma',
  sslidentity: 'Prisma',
  sslpassword: 'Prisma',
  pool_mode: 'Supabase',
  pool_size: 'SQLAlchemy and Ecto',
  pool: 'Rails',
  reaping_frequency: 'Rails',
  currentSchema: 'JDBC',
  search_path: 'other clients',
  prepareThreshold: 'JDBC',
  reWriteBatchedInserts: 'JDBC',
  serverVersion: 'Doctrine',
  charset: 'Doctrine',
}

/**
 * Takes the log's own options out of a URL. The rest is for the client. Every parameter must be known to one of the
 * two: an unknown one would silently do nothing.
 * @throws `E_OPTION`
 */
export function splitUrl(url: string): PostgresOptions {
  // Not parsed with URL: the client accepts forms that URL refuses, and these few are easily recognized.
  const begin = url.indexOf('?')
  if (begin < 0) return { url }
  const what = 'the URL of the PostgreSQL log'
  const query = url.slice(begin + 1)
  refuseOthers(what, query)
  const given = checkParameters(what, query, [...known, ...prismas])
  const { schema, statementTimeout, migrate, connection_limit, pgbouncer, ...own } = given
  const { poolSize = connection_limit, ...rest } = own
  if (own.poolSize !== undefined && connection_limit !== undefined)
    throw new ErrandError('E_OPTION', `${what} has both poolSize and connection_limit, which mean the same`)
  // In front of PgBouncer: neither LISTEN nor named statements.
  const direct = parseFlag(`pgbouncer in ${what}`, pgbouncer) === true ? false : undefined
  const { listen, preparedStatements, ...clientsOwn } = rest
  const left = new URLSearchParams(clientsOwn).toString()
  return {
    url: url.slice(0, begin) + (left === '' ? '' : `?${left}`),
    schema,
    poolSize: parseNumber(
      `${own.poolSize === undefined ? 'connection_limit' : 'poolSize'} in ${what}`,
      poolSize,
    ),
    statementTimeout: parseNumber(`statementTimeout in ${what}`, statementTimeout),
    migrate: parseFlag(`migrate in ${what}`, migrate),
    listen: parseFlag(`listen in ${what}`, listen) ?? direct,
    preparedStatements: parseFlag(`preparedStatements in ${what}`, preparedStatements) ?? direct,
  }
}

/**
 * Refuses the other parameters: nothing that a URL says may be ignored silently.
 * @throws `E_OPTION`
 */
function refuseOthers(what: string, query: string): void {
  for (const name of new URLSearchParams(query).keys()) {
    const whose = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined
    if (whose !== undefined)
      throw new ErrandError(
        'E_OPTION',
        `${what} has the parameter ${name} of ${whose}, which the job log does not read; give the job log a URL without it`,
      )
  }
}

function parseNumber(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return Number(text)
  throw new ErrandError('E_OPTION', `${what} is ${JSON.stringify(text)}; use a whole number`)
}
