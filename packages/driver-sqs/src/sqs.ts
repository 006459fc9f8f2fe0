import type { DriverFactory } from '@errand/core/ports'
import { openDriver } from './driver.ts'
import { resolveOptions } from './options.ts'
import type { SqsOptions } from './options.ts'
import { parseUrl } from './url.ts'

/**
 * Moves tickets over AWS SQS: one standard queue per queue and lane, named `PREFIX` + queue + `-` + lane. Takes options,
 * or a URL: `sqs://REGION?prefix=…&endpoint=…&createQueues=false&visibility=30s`, or `https://sqs.REGION.amazonaws.com`.
 * Without options the AWS SDK finds everything in its usual places. Opening does no I/O.
 * Errors: `E_URL`, `E_OPTION`, `E_DURATION` here; `E_DRIVER` on use, with what to do.
 * @example createErrand({ log: 'postgres://localhost/app', driver: sqs({ region: 'eu-west-1', prefix: 'shop-' }) })
 */
export function sqs(options: string | SqsOptions = {}): DriverFactory {
  const settings = resolveOptions(typeof options === 'string' ? parseUrl(options) : options)
  return {
    errand: 'driver',
    name: 'sqs',
    place: `${settings.endpoint ?? settings.region ?? 'default region'}?prefix=${settings.prefix}`,
    open: (context) => openDriver(settings, context),
  }
}

/** Opens the URL of a configuration. */
export function fromUrl(url: string): DriverFactory {
  return sqs(url)
}
