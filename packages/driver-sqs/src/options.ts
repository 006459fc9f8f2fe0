import type { SQSClient, SQSClientConfig } from '@aws-sdk/client-sqs'
import { defineOptions, option } from '@errand/core/driver-kit'
import type { OptionRule } from '@errand/core/driver-kit'
import { ErrandError } from '@errand/core/ports'
import type { Duration } from '@errand/core/ports'

export interface SqsOptions {
  /** The AWS region, such as `eu-west-1`. Default: where the SDK finds it (`AWS_REGION`, the profile). */
  readonly region?: string | undefined
  /** Another endpoint: an emulator, a VPC endpoint. Default: that of the region. */
  readonly endpoint?: string | undefined
  /** Default: where the SDK finds them (environment, profile, container, instance role, …). */
  readonly credentials?: SQSClientConfig['credentials'] | undefined
  /**
   * A client of your own, instead of the three options above. It is used as it is, and not destroyed when the driver
   * closes. Give it enough sockets: four for each queue that a worker takes from, and some for sends and deletes.
   */
  readonly client?: SQSClient | undefined
  /** How the names of the SQS queues begin: letters, digits, `-` and `_`, at most 40. Default `errand-`. */
  readonly prefix?: string | undefined
  /**
   * Creates the SQS queues that are missing, on first use. With `false` they are only looked up, and an error says which
   * one is missing: for processes without the right to create. Default true.
   */
  readonly createQueues?: boolean | undefined
  /** Tags for the queues that are created, beside `errand:queue` and `errand:lane`. */
  readonly tags?: Readonly<Record<string, string>> | undefined
  /**
   * How long SQS hides a received ticket from other workers. The claim must fit into this time, and after a crash before
   * the claim the ticket comes again after it. From 1 s to 12 h, in whole seconds. Default 30 s. It does not limit how long
   * jobs run: a ticket is deleted as soon as its job has been claimed.
   */
  readonly visibility?: Duration | undefined
}

/** The options, checked, with every default applied. */
export interface Settings {
  readonly region: string | undefined
  readonly endpoint: string | undefined
  readonly credentials: SQSClientConfig['credentials'] | undefined
  readonly client: SQSClient | undefined
  readonly prefix: string
  readonly createQueues: boolean
  readonly tags: Readonly<Record<string, string>>
  readonly visibilitySeconds: number
}

/** SQS allows fifty, and Errand sets two itself. */
const mostTags = 48

const table = defineOptions('sqs()', {
  region: option.text(),
  endpoint: option.custom(checkEndpoint, { inUrl: 'endpoint' }),
  credentials: option.custom((given) => given as SqsOptions['credentials']),
  client: option.custom((given) => given as SqsOptions['client']),
  prefix: option.text({
    default: 'errand-',
    pattern: /^[A-Za-z0-9_-]{0,40}$/,
    use: 'at most 40 letters, digits, - and _',
  }),
  createQueues: option.flag(true),
  tags: option.custom(checkTags, { default: {} }),
  visibility: option.duration({ default: '30s', from: '1s', to: '12h', wholeSeconds: true }),
} satisfies Record<keyof SqsOptions, OptionRule<unknown>>)

/** @throws `E_OPTION`, `E_DURATION` */
export function resolveOptions(options: SqsOptions): Settings {
  const { visibility, ...rest } = table.check(options)
  if (rest.client !== undefined && (rest.region ?? rest.endpoint ?? rest.credentials) !== undefined) {
    throw new ErrandError(
      'E_OPTION',
      'sqs() was given a client as well as a region, an endpoint or credentials: the client has its own',
    )
  }
  if (rest.client !== undefined && typeof rest.client.send !== 'function')
    throw new ErrandError('E_OPTION', 'the client of sqs() is not an SQSClient: it has no send()')
  return Object.freeze({ ...rest, visibilitySeconds: visibility / 1_000 })
}

/** The options in the query of a URL, not yet checked. @throws `E_OPTION` */
export function readQuery(query: string): SqsOptions {
  return table.readQuery('the URL of SQS', query)
}

function checkEndpoint(endpoint: unknown, what: string): string {
  const url = typeof endpoint === 'string' && URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '')
    return endpoint as string
  // The value is not shown: it may hold a password.
  throw new ErrandError('E_OPTION', `${what} must be an http:// or https:// URL, without user and password`)
}

function checkTags(tags: unknown): Readonly<Record<string, string>> {
  const entries = typeof tags === 'object' && tags !== null ? Object.entries(tags) : undefined
  const wrong = entries?.find(
    ([key, value]) => typeof value !== 'string' || key.toLowerCase().startsWith('aws:'),
  )
  if (entries && !wrong && entries.length <= mostTags) return tags as Readonly<Record<string, string>>
  throw new ErrandError(
    'E_OPTION',
    wrong
      ? `the tag ${JSON.stringify(wrong[0])} of sqs() is not a text, or begins with aws:, which AWS keeps for itself`
      : `tags of sqs() must be an object of at most ${mostTags} texts`,
  )
}
