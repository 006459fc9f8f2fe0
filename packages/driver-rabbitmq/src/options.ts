import { checkOptions, durationMs, ErrandError } from '@errand/core/ports'
import type { Duration } from '@errand/core/ports'
import { endpointsOf } from './endpoint.ts'
import type { Endpoint } from './endpoint.ts'

export interface TlsOptions {
  /** PEM text of the certificates that sign the broker's. Default: those that Node trusts. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /** PEM text of the client's certificate and key, where the broker asks for one. */
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  readonly passphrase?: string | undefined
  /** The name that the broker's certificate must have. Default: the host of the URL. */
  readonly serverName?: string | undefined
}

export interface RabbitmqOptions {
  /**
   * `amqp://user:password@host:5672/vhost`, or `amqps://…`. For the nodes of one cluster several hosts, or several URLs:
   * `amqp://user:password@a,b:5673/vhost`; they are tried in turn.
   */
  readonly url: string | readonly string[]
  /** Begins the names of the queues: `errand:media:high:v1`. One for each environment that shares a vhost. Default `errand`. */
  readonly prefix?: string | undefined
  /** `false` for a user without the right to configure: queues are looked up, never declared. Default `true`. */
  readonly declare?: boolean | undefined
  /** For `amqps:`. */
  readonly tls?: TlsOptions | undefined
  /** `external`: the user is the one that the client's certificate names. Default `plain`. */
  readonly auth?: 'plain' | 'external' | undefined
  /** After two of these without a sign of life a connection is given up; whole seconds. Default `10s`. */
  readonly heartbeat?: Duration | undefined
  /** How long connecting may take, the handshake included; several hosts share it. Default `10s`. */
  readonly connectTimeout?: Duration | undefined
  /** How long to wait for confirms; a ticket without one is then unknown, and the relay publishes it again. Default `5s`. */
  readonly publishTimeout?: Duration | undefined
}

/** Checked, with every default applied. */
export interface Settings {
  readonly endpoints: readonly Endpoint[]
  readonly prefix: string
  readonly declare: boolean
  readonly tls: TlsOptions
  readonly auth: 'plain' | 'external'
  readonly heartbeatSeconds: number
  readonly connectTimeoutMs: number
  readonly publishTimeoutMs: number
}

const defaults = {
  prefix: 'errand',
  declare: true,
  auth: 'plain',
  heartbeatMs: 10_000,
  connectTimeoutMs: 10_000,
  publishTimeoutMs: 5_000,
} as const

const known = ['url', 'prefix', 'declare', 'tls', 'auth', 'heartbeat', 'connectTimeout', 'publishTimeout']
const knownTls = ['ca', 'cert', 'key', 'passphrase', 'serverName']

/** @throws `E_OPTION`, `E_URL`, `E_NAME`, `E_DURATION` */
export function resolveOptions(options: RabbitmqOptions): Settings {
  checkOptions('rabbitmq()', options, known)
  if (options.tls !== undefined) checkOptions('tls', options.tls, knownTls)
  const urls = typeof options.url === 'string' ? [options.url] : options.url
  if (!Array.isArray(urls) || urls.length === 0) {
    throw new ErrandError(
      'E_OPTION',
      'rabbitmq() needs a url, such as amqp://<user>:<password>@<host>/<vhost>',
    )
  }
  return Object.freeze({
    endpoints: urls.flatMap((url: unknown) => endpointsOf(url)),
    prefix: checkPrefix(options.prefix ?? defaults.prefix),
    declare: checkBoolean('declare', options.declare ?? defaults.declare),
    tls: Object.freeze({ ...options.tls }),
    auth: checkAuth(options.auth ?? defaults.auth),
    heartbeatSeconds: wholeSeconds(durationMs(options.heartbeat ?? defaults.heartbeatMs, 'heartbeat')),
    connectTimeoutMs: atLeast('connectTimeout', 100, options.connectTimeout ?? defaults.connectTimeoutMs),
    publishTimeoutMs: atLeast('publishTimeout', 100, options.publishTimeout ?? defaults.publishTimeoutMs),
  })
}

/** `amq.` belongs to the broker, which refuses such queues. */
function checkPrefix(prefix: unknown): string {
  if (typeof prefix === 'string' && /^(?!amq\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(prefix)) return prefix
  throw new ErrandError(
    'E_NAME',
    `prefix is ${JSON.stringify(prefix)}; use 1 to 64 letters, digits and . _ - that begin with a letter or digit, and not with amq.`,
  )
}

function checkBoolean(what: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new ErrandError('E_OPTION', `${what} is ${JSON.stringify(value)}; use true or false`)
}

function checkAuth(value: unknown): 'plain' | 'external' {
  if (value === 'plain' || value === 'external') return value
  throw new ErrandError('E_OPTION', `auth is ${JSON.stringify(value)}; use 'plain' or 'external'`)
}

/** AMQP counts heartbeats in whole seconds, and 0 would turn them off: a dead peer would be noticed never. */
function wholeSeconds(ms: number): number {
  const seconds = ms / 1_000
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 600) return seconds
  throw new ErrandError('E_OPTION', `heartbeat is ${ms} ms; use whole seconds, from '1s' to '600s'`)
}

function atLeast(what: string, leastMs: number, duration: Duration): number {
  const ms = durationMs(duration, what)
  if (ms >= leastMs) return ms
  throw new ErrandError('E_OPTION', `${what} is ${ms} ms; use ${leastMs} ms or more`)
}
