import { ErrandError } from '@errand/core/ports'
import type { LogFactory } from '@errand/core/ports'
import { postgres } from './postgres/postgres.ts'
import type { PostgresOptions } from './postgres/postgres.ts'
import { sqlite } from './sqlite/sqlite.ts'

/**
 * The job log of a URL: what core calls when `ERRAND_LOG`, or `log` in the configuration, is one. A URL of PostgreSQL may
 * carry the log's own options: `?schema=jobs&poolSize=20&migrate=true&listen=false&preparedStatements=false`.
 * Errors: `E_URL`, `E_OPTION`.
 */
export function fromUrl(url: string): LogFactory {
  if (url.startsWith('sqlite:')) return sqlite(url)
  if (/^postgres(ql)?:/.test(url)) return postgres(postgresOptions(url))
  throw new ErrandError('E_URL', `a job log is postgres://… or sqlite:…, not ${url.split(':')[0]}:…`)
}

function postgresOptions(url: string): PostgresOptions {
  // Not URL: the client's own reader takes forms that URL refuses, and these few are easily told apart.
  const [base = '', query = ''] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  const own = (name: string): string | undefined => {
    const value = parameters.get(name) ?? undefined
    parameters.delete(name)
    return value
  }
  const options = {
    schema: own('schema'),
    poolSize: wholeOf(own('poolSize')),
    statementTimeout: wholeOf(own('statementTimeout')),
    migrate: flagOf('migrate', own('migrate')),
    listen: flagOf('listen', own('listen')),
    preparedStatements: flagOf('preparedStatements', own('preparedStatements')),
  }
  return { ...options, url: parameters.size === 0 ? base : `${base}?${parameters.toString()}` }
}

const wholeOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text)

function flagOf(name: string, text: string | undefined): boolean | undefined {
  if (text === undefined || text === 'true' || text === 'false')
    return text === undefined ? undefined : text === 'true'
  throw new ErrandError('E_OPTION', `${name} in the URL of the log is true or false, not ${text}`)
}
