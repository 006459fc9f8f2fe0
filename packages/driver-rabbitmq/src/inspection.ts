import { driverError, readMessage } from '@errand/core/driver-kit'
import type { QueueName } from '@errand/core/ports'
import type { Connection } from './connection.ts'
import { replyCode } from './errors.ts'
import { brokerQueues } from './names.ts'

/** Tickets that wait in all lanes of the queue; undefined if the user may not look. A lane that is not there has none. */
export async function readDepth(
  connection: Connection,
  prefix: string,
  queue: QueueName,
): Promise<number | undefined> {
  const counts = await Promise.all(brokerQueues(prefix, queue).map((each) => readCount(connection, each)))
  let sum = 0
  for (const count of counts) {
    if (count === undefined) return undefined
    sum += count
  }
  return sum
}

export async function purgeAll(connection: Connection, prefix: string, queue: QueueName): Promise<void> {
  await Promise.all(brokerQueues(prefix, queue).map((each) => purge(connection, each)))
}

/** Each look has a channel of its own: that a queue is not there ends the channel. */
async function readCount(connection: Connection, queue: string): Promise<number | undefined> {
  const channel = await connection.channel()
  try {
    const { messageCount } = await connection.answer('queue.declare', () => channel.checkQueue(queue))
    channel.close().catch(() => {})
    return messageCount
  } catch (error) {
    if (replyCode(error) === 404) return 0
    if (replyCode(error) === 403) return undefined
    throw failed(connection, queue, error)
  }
}

async function purge(connection: Connection, queue: string): Promise<void> {
  const channel = await connection.channel()
  try {
    await connection.answer('queue.purge', () => channel.purgeQueue(queue))
    channel.close().catch(() => {})
  } catch (error) {
    if (replyCode(error) === 404) return
    throw failed(connection, queue, error)
  }
}

function failed(connection: Connection, queue: string, error: unknown): Error {
  if (connection.ended.aborted) return connection.reason
  const hint = replyCode(error) === 403 ? '; purging needs the right to read it' : ''
  return driverError(`RabbitMQ at ${connection.where}: queue "${queue}": ${readMessage(error)}${hint}`, error)
}
