import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { schemaOfItsOwn } from '../fleet/shared.ts'
import type { Finally } from '../fleet/scene.ts'
import { deleteQueues, driverUrl, newPrefix } from '../rabbitmq/broker.ts'
import { Corner } from '../sqs/corner.ts'

/** Where a script's jobs are: as URLs. */
export type PlaceEnv = Readonly<Record<'ERRAND_LOG' | 'ERRAND_DRIVER', string>>

/** The places that this run can reach: a log, and what moves its tickets. */
export const places: readonly string[] = [
  'SQLite',
  ...(inject('postgres') === undefined ? [] : ['PostgreSQL']),
  ...(inject('amqp') === undefined ? [] : ['RabbitMQ']),
  ...(inject('sqs') === undefined ? [] : ['SQS']),
]

/** A place of the test's own. RabbitMQ and SQS have their log on PostgreSQL, where there is one. */
export async function placeOf(name: string, queues: readonly string[], atTheEnd: Finally): Promise<PlaceEnv> {
  if (name === 'SQLite' || inject('postgres') === undefined)
    return { ERRAND_LOG: file(atTheEnd), ERRAND_DRIVER: driverOf(name, queues, atTheEnd) }
  return { ERRAND_LOG: await schemaOfItsOwn(atTheEnd), ERRAND_DRIVER: driverOf(name, queues, atTheEnd) }
}

function file(atTheEnd: Finally): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-alone-'))
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }))
  return `sqlite:${join(folder, 'errand.db')}`
}

/** Empty: jobs are taken straight from the log. */
function driverOf(name: string, queues: readonly string[], atTheEnd: Finally): string {
  if (name === 'RabbitMQ') {
    const broker = inject('amqp') ?? ''
    const prefix = newPrefix()
    atTheEnd(() => deleteQueues(broker, prefix, queues))
    return driverUrl(broker, prefix)
  }
  if (name !== 'SQS') return ''
  const corner = new Corner(inject('sqs') ?? '')
  atTheEnd(() => corner.close())
  return corner.url
}
