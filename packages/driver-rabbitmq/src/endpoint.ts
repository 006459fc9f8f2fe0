import { eachHost, ErrandError } from '@errand/core/ports'

/** Where a broker listens, and who asks. */
export interface Endpoint {
  readonly protocol: 'amqp' | 'amqps'
  readonly host: string
  readonly port: number
  readonly vhost: string
  readonly user: string
  readonly password: string
  /** For people: host, port and vhost, never the user. */
  readonly where: string
}

const ports = { amqp: 5672, amqps: 5671 } as const

/**
 * One for each host of the URL: `amqp://user:password@a,b:5673/vhost` names two nodes of a cluster.
 * @throws `E_URL`, which shows nothing of the URL: it may hold a password.
 */
export function parseEndpoints(url: unknown): readonly Endpoint[] {
  return eachHost(String(url)).map((each) => parseEndpoint(each))
}

/** As RabbitMQ's URI specification says. */
function parseEndpoint(url: string): Endpoint {
  const { parsed, protocol } = parse(url)
  if (parsed.hash !== '') throw refuse('has a fragment (#…): a # in a password must be written %23')
  if (parsed.search !== '')
    throw refuse('has a query: beside other options, what it says is an option of its own')
  const path = parsed.pathname.slice(1)
  if (path.includes('/'))
    throw refuse('has a path of several parts: a / in the name of a vhost must be written %2F')
  const host = parsed.hostname.replaceAll(/^\[|\]$/g, '') || '127.0.0.1'
  const port = parsed.port === '' ? ports[protocol] : Number(parsed.port)
  const vhost = path === '' ? '/' : decode(path)
  const anonymous = parsed.username === '' && parsed.password === ''
  return {
    protocol,
    host,
    port,
    vhost,
    user: anonymous ? 'guest' : decode(parsed.username),
    password: anonymous ? 'guest' : decode(parsed.password),
    where: `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}/${vhost === '/' ? '' : encodeURIComponent(vhost)}`,
  }
}

function parse(url: string): { readonly parsed: URL; readonly protocol: Endpoint['protocol'] } {
  try {
    const parsed = new URL(url)
    if (parsed.protocol === 'amqp:') return { parsed, protocol: 'amqp' }
    if (parsed.protocol === 'amqps:') return { parsed, protocol: 'amqps' }
  } catch {
    throw refuse('cannot be read')
  }
  throw refuse('does not begin with amqp:// or amqps://')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuse('has a % that is not followed by two hexadecimal digits: write it as %25')
  }
}

export function refuse(why: string): ErrandError {
  return new ErrandError(
    'E_URL',
    `the URL of RabbitMQ ${why}; write amqp://<user>:<password>@<host>:5672/<vhost>`,
  )
}
