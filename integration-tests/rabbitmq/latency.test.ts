import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { createErrand } from '@errand/core'
import { lanes } from '@errand/core/ports'
import type { EventRecord } from '@errand/core/ports'
import { quietLogger, scaleLimit, until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { scene } from '../fleet/shared.ts'
import { brokerQueue, driverUrl, findLane } from './broker.ts'
import { startSlowProxy } from './slow-proxy.ts'

const amqp = inject('amqp')
const postgres = inject('postgres')
/** Far longer than this machine adds to one job, and short enough for the limit of connecting. */
const oneWayMs = Math.min(400, Math.max(100, scaleLimit(30)))

describe.skipIf(amqp === undefined || postgres === undefined)(
  'an idle system on RabbitMQ and PostgreSQL',
  () => {
    // Times mean little on a busy machine. So the test makes the network slow, and counts round trips.
    test('a job starts two round trips after its dispatch: one for the ticket, one for the claim', async () => {
      const on = await scene('rabbitmq')
      const { prefix } = on
      const [broker, database] = await Promise.all([
        startSlowProxy(String(amqp), oneWayMs),
        startSlowProxy(on.url, oneWayMs),
      ])
      const driver = driverUrl(broker.url(String(amqp)), prefix)
      const log = database.url(on.url)
      await startWorker({ ...on.env, ERRAND_LOG: log, ERRAND_DRIVER: driver, LEASE_MS: '20000' })
      const errand = createErrand({ log, driver, logger: quietLogger })
      onTestFinished(() => errand.close())

      const latencies: number[] = []
      // The first one opens connections, and declares.
      for (let n = 0; n <= 5; n += 1) {
        await isIdle(String(amqp), prefix)
        const { id } = await errand.dispatch(work, { n, failures: 0, ms: 0 })
        const events = await until(() => endedEvents(on.log.readHistory(id)), {
          what: 'it has run',
          withinMs: 30_000,
          pause,
        })
        if (n > 0) latencies.push(findTime(events, 'started') - findTime(events, 'dispatched'))
      }
      const median = latencies.toSorted((a, b) => a - b)[2] ?? Infinity
      // From the append's commit: its reply, the ticket up and down, the claim up.
      expect(median).toBeGreaterThan(3.5 * oneWayMs)
      expect(median).toBeLessThan(6 * oneWayMs)
    })
  },
)

/** Waits until the worker listens again after its last job: then a ticket in any lane is pushed to it. */
async function isIdle(broker: string, prefix: string): Promise<void> {
  let sinceMs: number | undefined
  const isListening = async (): Promise<boolean> => {
    const each = await Promise.all(lanes.map((lane) => findLane(broker, brokerQueue(prefix, 'work', lane))))
    const all = each.every((lane) => lane?.consumers === 1)
    sinceMs = all ? (sinceMs ?? performance.now()) : undefined
    return sinceMs !== undefined && performance.now() - sinceMs > 4 * oneWayMs
  }
  await until(isListening, { what: 'the worker listens', withinMs: 30_000, pause })
}

async function endedEvents(
  events: Promise<readonly EventRecord[]>,
): Promise<readonly EventRecord[] | undefined> {
  const all = await events
  return all.some(({ type }) => type === 'succeeded') ? all : undefined
}

function findTime(events: readonly EventRecord[], type: EventRecord['type']): number {
  return events.find((event) => event.type === type)?.at ?? Number.NaN
}
