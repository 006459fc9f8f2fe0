import type { DriverFactory } from '@errand/core/ports'
import { openDriver } from './driver.ts'
import { parseUrl, resolveOptions } from './options.ts'
import type { RabbitmqOptions } from './options.ts'

/**
 * Tickets through RabbitMQ, 3.10 or later: a durable quorum queue for each queue and lane. Connects on first use, and
 * again after every loss. `docs/drivers/rabbitmq.md` says which rights it needs and what it does in each fault.
 *
 * Options and defaults: `prefix` `'errand'`, `declare` true, `heartbeat` 5 s, `connectTimeout` 10 s, `publishTimeout`
 * 5 s. A URL may carry them in its query.
 * Errors: `E_URL`, `E_OPTION`, `E_NAME`, `E_DURATION` at once; `E_DRIVER` from use, with what to check.
 * @example createErrand({ log, driver: rabbitmq('amqp://user:password@broker/shop') })
 * @example createErrand({ log, driver: rabbitmq({ url: 'amqps://broker', tls: { ca }, prefix: 'staging', declare: false }) })
 */
export function rabbitmq(options: string | RabbitmqOptions): DriverFactory {
  const settings = resolveOptions(typeof options === 'string' ? parseUrl(options) : options)
  const nodes = settings.endpoints.map(({ where }) => where).toSorted()
  return {
    errand: 'driver',
    name: 'rabbitmq',
    place: `${nodes.join(',')}?prefix=${settings.prefix}`,
    open: (context) => openDriver(settings, context),
  }
}

/** What core calls for a URL of the scheme `amqp:` or `amqps:`. The same as `rabbitmq(url)`. */
export function fromUrl(url: string): DriverFactory {
  return rabbitmq(url)
}
