// How tests read and change a broker without the driver.
import { randomBytes } from 'node:crypto'
import { connect } from 'amqplib'
import type { Channel } from 'amqplib'
import { lanes } from '@errand/core/ports'
import type { Lane } from '@errand/core/ports'

/** For `rabbitmq(url)`, or `ERRAND_DRIVER`. */
export function driverUrl(broker: string, prefix: string): string {
  return `${broker}?prefix=${prefix}`
}

export function newPrefix(): string {
  return `test-${randomBytes(6).toString('hex')}`
}

export function brokerQueue(prefix: string, queue: string, lane: Lane): string {
  return `${prefix}:${queue}:${lane}:v1`
}

/** Runs something on its own connection. */
export async function onBroker<T>(url: string, act: (channel: Channel) => Promise<T>): Promise<T> {
  const connection = await connect(url, { noDelay: true, timeout: 5_000 })
  connection.on('error', () => {})
  try {
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    const result = await act(channel)
    await channel.waitForConfirms()
    return result
  } finally {
    await connection.close().catch(() => {})
  }
}

export function deleteQueues(url: string, prefix: string, queues: readonly string[]): Promise<void> {
  return onBroker(url, async (channel) => {
    for (const queue of queues) {
      for (const lane of lanes) await channel.deleteQueue(brokerQueue(prefix, queue, lane))
    }
  })
}

/** Consumers and waiting tickets of one lane; undefined while the broker or the queue is not there. */
export async function findLane(
  url: string,
  name: string,
): Promise<{ readonly consumers: number; readonly waiting: number } | undefined> {
  try {
    const { consumerCount, messageCount } = await onBroker(url, (channel) => channel.checkQueue(name))
    return { consumers: consumerCount, waiting: messageCount }
  } catch {
    return undefined
  }
}

/** Receives a message and does not ack it; resolves with why the broker took it back. From 4.3 on the consumer alone ends. */
export async function fateOfHeldMessage(url: string, queue: string): Promise<string> {
  const connection = await connect(url)
  connection.on('error', () => {})
  const channel = await connection.createChannel()
  const ended = Promise.withResolvers<string>()
  channel.on('error', (error: Error) => ended.resolve(error.message))
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  channel.sendToQueue(queue, Buffer.from('held'))
  await channel.consume(queue, (message) => {
    if (message === null) ended.resolve('the consumer was cancelled')
  })
  const why = await ended.promise
  await connection.close()
  return why
}
