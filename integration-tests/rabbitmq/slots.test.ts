import { describe, expect, inject, test } from 'vitest'
import { lanes } from '@errand/core/ports'
import { until } from '@errand/testkit'
import { gated, work } from '../fleet/app/jobs.ts'
import { openGate, readLedger } from '../fleet/app/ledger.ts'
import { allEnded, pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { scene } from '../fleet/shared.ts'
import { brokerQueue, findLane } from './broker.ts'

const url = inject('amqp')

describe.skipIf(url === undefined)('slots of workers on RabbitMQ', () => {
  test('a worker whose only slot is busy for an hour holds no ticket that an idle worker could run', async () => {
    const broker = String(url)
    const on = await scene('rabbitmq')
    const { prefix } = on
    const env = { ...on.env, CONCURRENCY: '1' }
    const busy = await startWorker(env)
    // It takes the first one, and all the others must stay.
    const receipts = await on.errand.dispatchMany([
      gated.with({ n: 0 }, { lane: 'critical' }),
      ...lanes.flatMap((lane) =>
        Array.from({ length: 5 }, (_, n) => work.with({ n, failures: 0, ms: 5 }, { lane })),
      ),
    ])
    const [hour, ...others] = receipts.map(({ id }) => id)
    await until(() => readLedger(on.ledger).some(({ jobId }) => jobId === hour), {
      what: 'it is busy',
      pause,
    })
    const ranBefore = new Set(readLedger(on.ledger).map(({ jobId }) => jobId))
    const left = others.filter((id) => !ranBefore.has(id))
    const waiting = async (): Promise<number> => {
      const each = await Promise.all(lanes.map((lane) => findLane(broker, brokerQueue(prefix, 'work', lane))))
      return each.reduce((sum, lane) => sum + (lane?.waiting ?? 0), 0)
    }
    // A message has at most two tickets: the worker has one slot.
    await until(async () => (await waiting()) >= left.length / 2, {
      what: 'the broker has all the others',
      pause,
    })

    const idle = await startWorker(env)
    await until(() => left.every((id) => hasEnded(on.ledger, id)), { what: 'all of them have run', pause })
    for (const id of left) {
      const started = (await on.log.readHistory(id)).find(({ type }) => type === 'started')
      expect(started?.worker).toBe(idle.id)
    }
    const ofTheHour = await on.log.readHistory(hour ?? '')
    expect(ofTheHour.map(({ type, worker }) => [type, worker])).toEqual([
      ['dispatched', undefined],
      ['started', busy.id],
    ])
    openGate(on.ledger)
    await allEnded(on.log, 30_000)
    expect(await on.violations()).toBe('')
  })
})

function hasEnded(ledger: string, id: string): boolean {
  return readLedger(ledger).some(({ jobId, mark }) => jobId === id && mark === 'ended')
}
