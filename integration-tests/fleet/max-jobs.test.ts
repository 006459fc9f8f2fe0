import { expect, inject, onTestFinished, test } from 'vitest'
import { handle } from '@errand/core'
import { deleteQueues, driverUrl, newPrefix } from '../rabbitmq/broker.ts'
import { Corner } from '../sqs/corner.ts'
import { work } from './app/jobs.ts'
import { logs, scene } from './shared.ts'

type Place = readonly [name: string, log: string, driver: () => string]

/** Every log with the driver that needs no other server, and every broker. */
const places: readonly Place[] = [
  ...logs.map((log): Place => [log, log, () => 'database']),
  ...(inject('amqp') === undefined ? [] : [['RabbitMQ', 'sqlite', onRabbitmq] as const]),
  ...(inject('sqs') === undefined ? [] : [['SQS', 'sqlite', onSqs] as const]),
]

function onRabbitmq(): string {
  const broker = String(inject('amqp'))
  const prefix = newPrefix()
  onTestFinished(() => deleteQueues(broker, prefix, ['work', 'other']))
  return driverUrl(broker, prefix)
}

function onSqs(): string {
  const corner = new Corner(inject('sqs') ?? '')
  onTestFinished(() => corner.close())
  return corner.url
}

test.for(places)(
  'a worker that may begin three jobs is granted three of forty, on %s',
  async ([, log, driver]) => {
    const on = await scene(log, { driver: driver() })
    const requests = Array.from({ length: 40 }, (_, n) =>
      work.with({ n, failures: 0, ms: 1 }, n % 2 === 0 ? {} : { queue: 'other' }),
    )
    const receipts = await on.errand.dispatchMany(requests)
    let ran = 0
    const worker = on.errand.work(
      { concurrency: 10, handlers: [handle(work, () => void (ran += 1))] },
      { queues: ['work', 'other'], maxJobs: 3, signals: false },
    )
    await worker.finished
    const histories = await Promise.all(receipts.map(({ id }) => on.log.eventsOf(id)))
    expect(ran).toBe(3)
    expect(histories.flat().filter(({ type }) => type === 'started')).toHaveLength(3)
    expect(worker.health().ended).toMatchObject({ succeeded: 3, released: 0 })
  },
)
