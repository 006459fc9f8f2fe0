import { readFileSync } from 'node:fs'
import { defineOptions, option } from '@errand/core/driver-kit'
import type { OptionRule } from '@errand/core/driver-kit'
import { ErrandError } from '@errand/core/ports'
import type { Duration } from '@errand/core/ports'
import { parseEndpoints, refuse } from './endpoint.ts'
import type { Endpoint } from './endpoint.ts'

export interface TlsOptions {
  /** PEM text of the certificates that sign the broker's. Default: those that Node trusts. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /** PEM text of the client's certificate and key, if the broker asks for one. */
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  readonly passphrase?: string | undefined
  /** The name that the broker's certificate must have. Default: the host of the URL. */
  readonly serverName?: string | undefined
}

export interface RabbitmqOptions {
  /**
   * `amqp://user:password@host:5672/vhost`, or `amqps://…`. For a cluster give several hosts or several URLs, which are
   * tried in turn: `amqp://user:password@a,b:5673/vhost`.
   */
  readonly url: string | readonly string[]
  /** Begins the names of the queues: `errand:media:high:v1`. Environments that share a vhost need different ones. Default `errand`. */
  readonly prefix?: string | undefined
  /** `false` for a user without the right to configure: the driver looks queues up and never declares them. Default `true`. */
  readonly declare?: boolean | undefined
  /** For `amqps:`. */
  readonly tls?: TlsOptions | undefined
  /** `external`: the user is the one that the client's certificate names. Default `plain`. */
  readonly auth?: 'plain' | 'external' | undefined
  /**
   * A network does not report a connection that it has dropped. So the driver gives a connection up after one and a half of
   * these intervals without a sign of life; RabbitMQ gives a client up after two. Whole seconds. Default `5s`, so that tickets
   * come again within ten seconds; RabbitMQ advises against less (https://www.rabbitmq.com/docs/heartbeats).
   */
  readonly heartbeat?: Duration | undefined
  /** How long connecting may take, the handshake included; several hosts share it. Default `10s`. */
  readonly connectTimeout?: Duration | undefined
  /** How long to wait for confirms. The relay publishes a ticket without a confirm again. Default `5s`. */
  readonly publishTimeout?: Duration | undefined
}

/** The options, checked, with every default applied. */
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

/** Names in snake case are RabbitMQ's own, with its units: seconds, and milliseconds. */
const table = defineOptions('rabbitmq()', {
  url: option.custom(checkUrls, { default: [] }),
  prefix: option.text({
    default: 'errand',
    // `amq.` belongs to the broker, which refuses such queues.
    pattern: /^(?!amq\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    use: '1 to 64 letters, digits and . _ - that begin with a letter or digit, and not with amq.',
    code: 'E_NAME',
  }),
  declare: option.flag(true),
  tls: option.group({
    ca: option.custom((ca) => ca as TlsOptions['ca'], { inUrl: 'cacertfile', parse: readPem }),
    cert: option.custom((cert) => cert as TlsOptions['cert'], { inUrl: 'certfile', parse: readPem }),
    key: option.custom((key) => key as TlsOptions['key'], { inUrl: 'keyfile', parse: readPem }),
    passphrase: option.text({ inUrl: false }),
    serverName: option.text({ inUrl: false }),
  }),
  auth: option.oneOf(['plain', 'external'], { inUrl: 'auth_mechanism', parse: parseMechanism }),
  // AMQP counts heartbeats in whole seconds. 0 would turn them off, and then a dead peer is never detected.
  heartbeat: option.duration({
    default: '5s',
    from: '1s',
    to: '600s',
    wholeSeconds: true,
    parse: (text) => addUnit(text, 's', 'heartbeat'),
  }),
  connectTimeout: option.duration({
    default: '10s',
    from: '100ms',
    inUrl: 'connection_timeout',
    parse: (text) => addUnit(text, 'ms', 'connection_timeout'),
  }),
  publishTimeout: option.duration({ default: '5s', from: '100ms' }),
} satisfies Record<keyof RabbitmqOptions, OptionRule<unknown>>)

/** @throws `E_OPTION`, `E_URL`, `E_NAME`, `E_DURATION` */
export function resolveOptions(options: RabbitmqOptions): Settings {
  const { url, heartbeat, connectTimeout, publishTimeout, ...rest } = table.check(options)
  return Object.freeze({
    ...rest,
    endpoints: url,
    heartbeatSeconds: heartbeat / 1_000,
    connectTimeoutMs: connectTimeout,
    publishTimeoutMs: publishTimeout,
  })
}

/**
 * The options in a URL's query: `amqps://host?prefix=shop&declare=false&heartbeat=20&cacertfile=/etc/ssl/broker.pem`.
 * @throws `E_URL`, `E_OPTION`
 */
export function parseUrl(url: string): RabbitmqOptions {
  const begin = url.indexOf('?')
  if (begin < 0) return { url }
  return { ...table.readQuery('the URL of RabbitMQ', url.slice(begin + 1)), url: url.slice(0, begin) }
}

function checkUrls(given: unknown): readonly Endpoint[] {
  const urls: unknown = typeof given === 'string' ? [given] : given
  if (Array.isArray(urls) && urls.length > 0) return urls.flatMap((url: unknown) => parseEndpoints(url))
  throw new ErrandError('E_OPTION', 'rabbitmq() needs a url, such as amqp://<user>:<password>@<host>/<vhost>')
}

function readPem(path: string, what: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw new ErrandError('E_OPTION', `${what} names ${path}, which cannot be read (${code})`)
  }
}

function parseMechanism(text: string): string {
  const mechanism = text.toLowerCase()
  if (mechanism === 'plain' || mechanism === 'external') return mechanism
  throw refuse(`has auth_mechanism=${JSON.stringify(text)}, and it is plain or external`)
}

function addUnit(text: string, unit: 's' | 'ms', what: string): Duration {
  if (/^\d+$/.test(text)) return `${Number(text)}${unit}`
  throw refuse(`has ${what}=${JSON.stringify(text)}, and it is a whole number`)
}
