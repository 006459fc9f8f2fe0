import { readFileSync } from 'node:fs'
import { checkParameters, ErrandError, flagOf } from '@errand/core/ports'
import type { Duration } from '@errand/core/ports'
import { refuse } from './endpoint.ts'
import type { RabbitmqOptions, TlsOptions } from './options.ts'

/** Those in snake case are RabbitMQ's own, with its units: seconds, and milliseconds. */
const known = [
  'prefix',
  'declare',
  'publishTimeout',
  'heartbeat',
  'connection_timeout',
  'auth_mechanism',
  'cacertfile',
  'certfile',
  'keyfile',
] as const

/**
 * The options in a URL's query: `amqps://host?prefix=shop&declare=false&heartbeat=20&cacertfile=/etc/ssl/broker.pem`.
 * @throws `E_URL`, `E_OPTION`
 */
export function optionsOfUrl(url: string): RabbitmqOptions {
  const begin = url.indexOf('?')
  if (begin < 0) return { url }
  const query = checkParameters('the URL of RabbitMQ', url.slice(begin + 1), known)
  const tls = tlsOf(query.cacertfile, query.certfile, query.keyfile)
  return {
    url: url.slice(0, begin),
    prefix: query.prefix,
    declare: flagOf('declare in the URL of RabbitMQ', query.declare),
    auth: authOf(query.auth_mechanism),
    heartbeat: withUnit(query.heartbeat, 's', 'heartbeat'),
    connectTimeout: withUnit(query.connection_timeout, 'ms', 'connection_timeout'),
    publishTimeout: query.publishTimeout as Duration | undefined,
    ...(tls ? { tls } : {}),
  }
}

function tlsOf(ca?: string, cert?: string, key?: string): TlsOptions | undefined {
  if (ca === undefined && cert === undefined && key === undefined) return undefined
  const read = (option: string, path: string | undefined): Buffer | undefined => {
    try {
      return path === undefined ? undefined : readFileSync(path)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
      throw new ErrandError(
        'E_OPTION',
        `${option} of the URL of RabbitMQ names ${path}, which cannot be read (${code})`,
      )
    }
  }
  return { ca: read('cacertfile', ca), cert: read('certfile', cert), key: read('keyfile', key) }
}

function authOf(text: string | undefined): 'plain' | 'external' | undefined {
  if (text === undefined) return undefined
  const mechanism = text.toLowerCase()
  if (mechanism === 'plain' || mechanism === 'external') return mechanism
  throw refuse(`has auth_mechanism=${JSON.stringify(text)}, and it is plain or external`)
}

function withUnit(text: string | undefined, unit: 's' | 'ms', what: string): Duration | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return `${Number(text)}${unit}`
  throw refuse(`has ${what}=${JSON.stringify(text)}, and it is a whole number`)
}
