import { connect } from 'amqplib'
import { expect, inject, it } from 'vitest'
import { systemClock } from '@errand/core/ports'
import { until } from '@errand/testkit'
import { Confirms } from '../src/confirms.ts'
import type { Fate } from '../src/confirms.ts'
import { Connection } from '../src/connection.ts'
import { newPrefix, onBroker, toQueueName } from './broker.ts'

const url = inject('amqp')
/** RabbitMQ 3.10 may never confirm what it was sent for a queue that it deletes. */
const patienceMs = 3_000

interface Published {
  readonly fates: Set<Fate>
  readonly neighbours: Set<Fate>
  /** Of the broker: `4.3.6`. */
  readonly version: string
}

/** Publishes to a queue that is deleted at the same time. Returns the fates that occurred, of the queue and of a neighbour. */
async function publishedWhileDeleted(): Promise<Published> {
  const broker = String(url)
  const prefix = newPrefix()
  const [name, neighbour] = [toQueueName(prefix, 'q', 'normal'), toQueueName(prefix, 'other', 'normal')]
  await onBroker(broker, async (channel) => {
    for (const queue of [name, neighbour])
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  })
  const opened = await connect(broker)
  const { version } = opened.connection.serverProperties as { readonly version: string }
  const connection = new Connection(opened, 'here', systemClock)
  const confirms = new Confirms(connection, await connection.confirmChannel())
  const messages = Array.from({ length: 2_000 }, (_, n) => ({
    queue: n % 10 === 0 ? neighbour : name,
    content: Buffer.from(`${n}`),
  }))
  const sending = confirms.send(messages, AbortSignal.timeout(patienceMs))
  await until(() => confirms.confirmed > 0, { what: 'the first confirms' })
  await onBroker(broker, (channel) => channel.deleteQueue(name))
  const fates = await sending
  const of = (queue: string): Set<Fate> => new Set(fates.filter((_, at) => messages[at]?.queue === queue))
  await connection.close()
  await onBroker(broker, (channel) => channel.deleteQueue(neighbour))
  return { fates: of(name), neighbours: of(neighbour), version }
}

it.skipIf(url === undefined)(
  'once a message comes back from a queue, its confirms are not believed; those of other queues are',
  async () => {
    // Up to RabbitMQ 4.0 it may end the connection instead, or store all of them before it deletes the queue.
    for (let round = 0; round < 3; round += 1) {
      const { fates, neighbours, version } = await publishedWhileDeleted()
      if (!fates.has('returned')) continue
      expect(fates).not.toContain('accepted')
      expect(neighbours).toContain('accepted')
      // RabbitMQ 3.10 may leave some of them without a confirm as well.
      if (Number.parseInt(version, 10) < 4) neighbours.delete('unknown')
      expect(neighbours).toEqual(new Set(['accepted']))
    }
  },
)
