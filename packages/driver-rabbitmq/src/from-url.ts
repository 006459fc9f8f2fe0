import { readFileSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'
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
  const query = new URLSearchParams(url.slice(begin + 1))
  for (const key of query.keys()) {
    if (!(known as readonly string[]).includes(key)) {
      throw new ErrandError(
        'E_OPTION',
        `the URL of RabbitMQ has the unknown option "${key}"; known: ${known.join(', ')}`,
      )
    }
  }
  const read = (key: (typeof known)[number]): string | undefined => query.get(key) ?? undefined
  const tls = tlsOf(read('cacertfile'), read('certfile'), read('keyfile'))
  return {
    url: url.slice(0, begin),
    prefix: read('prefix'),
    declare: booleanOf('declare', read('declare')),
    auth: authOf(read('auth_mechanism')),
    heartbeat: withUnit(read('heartbeat'), 's', 'heartbeat'),
    connectTimeout: withUnit(read('connection_timeout'), 'ms', 'connection_timeout'),
    publishTimeout: read('publishTimeout') as Duration | undefined,
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

function booleanOf(what: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined
  if (text === 'true' || text === 'false') return text === 'true'
  throw refuse(`has ${what}=${JSON.stringify(text)}, and it is true or false`)
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
