// What the tests do to the broker without the driver.
import { randomBytes } from 'node:crypto'
import { connect } from 'amqplib'
import type { Channel, ChannelModel } from 'amqplib'
import { lanes, systemClock } from '@errand/core/ports'
import type { Clock, Driver, DriverContext, JobLog, Lane, Logger } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { rabbitmq } from '../src/index.ts'
import type { RabbitmqOptions } from '../src/index.ts'

export const nobody: AbortSignal = new AbortController().signal

/** A prefix that no other test has, so that all of them can share a broker. */
export function newPrefix(): string {
  return `test-${randomBytes(6).toString('hex')}`
}

export function openDriver(
  options: RabbitmqOptions,
  logger: Logger = quietLogger,
  clock: Clock = systemClock,
): Driver {
  return rabbitmq(options).open(contextWith(logger, clock))
}

function contextWith(logger: Logger, clock: Clock): DriverContext {
  // A driver of tickets never looks at it.
  const log: JobLog = undefined as never
  return { logger, clock, log }
}

export function toQueueName(prefix: string, queue: string, lane: Lane): string {
  return `${prefix}:${queue}:${lane}:v1`
}

/** Runs something on a channel of its own. */
export async function onBroker<T>(
  url: string,
  act: (channel: Channel, model: ChannelModel) => Promise<T>,
): Promise<T> {
  const model = await connect(url, { noDelay: true, timeout: 5_000 })
  model.on('error', () => {})
  try {
    const channel = await model.createChannel()
    channel.on('error', () => {})
    return await act(channel, model)
  } finally {
    await model.close().catch(() => {})
  }
}

export function publishRaw(url: string, queue: string, content: Buffer): Promise<void> {
  return onBroker(url, async (_, model) => {
    const channel = await model.createConfirmChannel()
    channel.sendToQueue(queue, content)
    await channel.waitForConfirms()
  })
}

export function deleteQueues(url: string, prefix: string, queues: Iterable<string>): Promise<void> {
  return onBroker(url, async (channel) => {
    for (const queue of queues) {
      for (const lane of lanes) await channel.deleteQueue(toQueueName(prefix, queue, lane))
    }
  })
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly facts: unknown
  readonly message: string
}

/** A logger that remembers. */
export function recordingLogger(): { readonly logger: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: LogLine['level']) =>
    (facts: object, message = ''): void =>
      void lines.push({ level, facts, message })
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines }
}
