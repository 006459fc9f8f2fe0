import { ErrandError } from '@errand/core/ports'
import { readQuery } from './options.ts'
import type { SqsOptions } from './options.ts'

const forms = 'sqs://REGION?prefix=…&endpoint=…, or https://sqs.REGION.amazonaws.com?prefix=…'
const region = /^[a-z]{2,}(?:-[a-z]+)+-\d+$/

/**
 * `sqs://eu-west-1?prefix=shop-`, `sqs://eu-west-1?endpoint=http://localhost:4566`, `https://sqs.eu-west-1.amazonaws.com`.
 * @throws `E_URL`, `E_OPTION`; the message never holds the URL, which may hold credentials.
 */
export function parseUrl(text: string): SqsOptions {
  const url = URL.canParse(text) ? new URL(text) : refuse('cannot be read')
  if (url.pathname !== '' && url.pathname !== '/')
    refuse('has a path; SQS queues are named by the prefix, the queue and the lane')
  const place = url.protocol === 'sqs:' ? readRegion(url) : readEndpoint(url)
  return { ...readQuery(url.search), ...place, ...readUser(url, place.endpoint) }
}

type Place = { readonly region: string | undefined; readonly endpoint: string | undefined }

function readRegion(url: URL): Place {
  if (url.hostname !== '' && !region.test(url.hostname))
    refuse(`names "${url.hostname}", which is not a region`)
  if (url.port !== '') refuse('has a port; give another endpoint as ?endpoint=http://host:port')
  if (url.searchParams.has('region')) refuse('names the region twice')
  return {
    region: url.hostname === '' ? undefined : url.hostname,
    endpoint: url.searchParams.get('endpoint') ?? undefined,
  }
}

/** `https://sqs.eu-west-1.amazonaws.com`. In every host name `sqs.…` the second label is the region. */
function readEndpoint(url: URL): Place {
  if (url.protocol !== 'https:' || !/^sqs(?:-fips)?\./.test(url.hostname)) refuse('is not one of SQS')
  if (url.searchParams.has('endpoint')) refuse('names the endpoint twice')
  const named = url.searchParams.get('region') ?? url.hostname.split('.')[1]
  if (named === undefined || !region.test(named)) refuse('names no region; add ?region=REGION')
  return { region: named, endpoint: url.origin }
}

/** Only for emulators, which accept any user. Keys of AWS do not belong in a URL, which ends up in logs and process lists. */
function readUser(url: URL, endpoint: string | undefined): SqsOptions {
  if (url.username === '' && url.password === '') return {}
  if (url.protocol !== 'sqs:' || endpoint === undefined) {
    refuse(
      'holds credentials; give them where the AWS SDK looks: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role',
    )
  }
  return {
    credentials: {
      accessKeyId: decodeURIComponent(url.username),
      secretAccessKey: decodeURIComponent(url.password),
    },
  }
}

function refuse(why: string): never {
  throw new ErrandError('E_URL', `the URL of the driver ${why}; write ${forms}`)
}
