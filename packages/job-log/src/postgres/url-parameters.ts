import { checkParameters, ErrandError, flagOf } from '@errand/core/ports'
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

/**
 * Takes the log's own options out of a URL: what is left is the client's. Every parameter is understood by one of the two,
 * or refused: one that nobody reads would silently do nothing.
 * @throws `E_OPTION`
 */
export function splitUrl(url: string): PostgresOptions {
  // Not URL: the client's own reader takes forms that URL refuses, and these few are easily told apart.
  const begin = url.indexOf('?')
  if (begin < 0) return { url }
  const what = 'the URL of the PostgreSQL log'
  const given = checkParameters(what, url.slice(begin + 1), known)
  const { schema, poolSize, statementTimeout, migrate, listen, preparedStatements, ...rest } = given
  const left = new URLSearchParams(rest).toString()
  return {
    url: url.slice(0, begin) + (left === '' ? '' : `?${left}`),
    schema,
    poolSize: numberOf(`poolSize in ${what}`, poolSize),
    statementTimeout: numberOf(`statementTimeout in ${what}`, statementTimeout),
    migrate: flagOf(`migrate in ${what}`, migrate),
    listen: flagOf(`listen in ${what}`, listen),
    preparedStatements: flagOf(`preparedStatements in ${what}`, preparedStatements),
  }
}

function numberOf(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return Number(text)
  throw new ErrandError('E_OPTION', `${what} is ${JSON.stringify(text)}; use a whole number`)
}
