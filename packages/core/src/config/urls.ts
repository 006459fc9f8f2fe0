import { ErrandError } from '../errors.ts'

/** What a URL's scheme stands for: the package that opens it. Each such package exports `fromUrl(url)`. */
export interface Provider {
  readonly package: string
  readonly kind: 'job-log' | 'driver'
}

const jobLog: Provider = { package: '@errand/job-log', kind: 'job-log' }
const rabbitmq: Provider = { package: '@errand/driver-rabbitmq', kind: 'driver' }
const sqs: Provider = { package: '@errand/driver-sqs', kind: 'driver' }
const database: Provider = { package: '@errand/driver-database', kind: 'driver' }

const providers: Readonly<Record<string, Provider>> = {
  postgres: jobLog,
  postgresql: jobLog,
  sqlite: jobLog,
  amqp: rabbitmq,
  amqps: rabbitmq,
  sqs,
  database,
}

/** AWS's own way to write it: `https://sqs.eu-west-1.amazonaws.com`. */
const sqsEndpoint = /^https:\/\/sqs(?:-fips)?\./i

/** The package for a URL. @throws `E_URL`, which shows the scheme alone: the rest may hold credentials. */
export function providerOf(url: string, kind: Provider['kind']): Provider {
  const what = kind === 'job-log' ? 'log' : 'driver'
  const scheme =
    /^([a-z][a-z0-9+.-]*):./i.exec(url)?.[1]?.toLowerCase() ?? (url === 'database' ? url : undefined)
  const schemes = Object.keys(providers).filter((each) => providers[each]?.kind === kind)
  if (kind === 'driver' && sqsEndpoint.test(url)) return sqs
  const known = schemes.map((each) => (each === 'database' ? "'database'" : `${each}:`)).join(', ')
  if (scheme === undefined) {
    throw new ErrandError('E_URL', `${what} is a text that is not a URL; known: ${known}`)
  }
  const provider = Object.hasOwn(providers, scheme) ? providers[scheme] : undefined
  if (!provider)
    throw new ErrandError('E_URL', `${what} has the unknown scheme "${scheme}:"; known: ${known}`)
  if (provider.kind === kind) return provider
  const other = kind === 'job-log' ? 'driver' : 'log'
  throw new ErrandError('E_URL', `"${scheme}:" is a ${other}, not a ${what}; known for ${what}: ${known}`)
}
