import { describe, expect, inject, test } from 'vitest'
import type { Errand } from '@errand/core'
import { readHistory, until } from '@errand/testkit'
import { gated, work } from '../fleet/app/jobs.ts'
import { openGate, readLedger } from '../fleet/app/ledger.ts'
import { pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { scene } from '../fleet/shared.ts'
import { brokerQueue, findLane } from './broker.ts'

const url = inject('amqp')
const slots = 4
const batch = 500

describe.skipIf(url === undefined)('lanes of a queue on RabbitMQ', () => {
  test('ten critical jobs behind a backlog of 20,000 low ones start before any low one that had no slot yet', async () => {
    const on = await scene('rabbitmq')
    for (let from = 0; from < 20_000; from += batch) {
      await on.errand.dispatchMany(
        Array.from({ length: batch }, (_, n) => gated.with({ n: from + n }, { lane: 'low' })),
      )
    }
    await startWorker({ ...on.env, CONCURRENCY: String(slots) })
    await until(() => readLedger(on.ledger).length === slots, {
      what: 'low jobs have all the slots',
      withinMs: 30_000,
    })
    const after = await on.log.end()
    const critical = await dispatchCritical(on.errand, 10)
    // A dispatch waits at most a second for the broker.
    const driver = on.env['ERRAND_DRIVER'] ?? ''
    const lane = brokerQueue(new URL(driver).searchParams.get('prefix') ?? '', 'work', 'critical')
    await until(async () => (await findLane(driver.replace(/\?.*/, ''), lane))?.waiting === 10, {
      what: 'their tickets are on the broker',
      withinMs: 30_000,
      pause,
    })
    openGate(on.ledger)
    // Readers see events a little later if other transactions are open in the database.
    const isCritical = await until(
      async () => {
        const started = (await readHistory(on.log, { after })).filter(({ type }) => type === 'started')
        const are = started.map(({ jobId }) => critical.has(jobId))
        return are.filter(Boolean).length === critical.size && are
      },
      { what: 'all critical jobs have started', withinMs: 60_000, pause },
    )
    expect(isCritical[0]).toBe(true)
    const before = isCritical.slice(0, isCritical.lastIndexOf(true))
    // One grant in ten goes to the lowest lane: of fourteen grants, with the four before, at most two.
    expect(before.filter((each) => !each).length).toBeLessThanOrEqual(2)
  })

  test('while critical jobs come without end, one grant in ten goes to a low one', async () => {
    const on = await scene('rabbitmq')
    await on.errand.dispatchMany(
      Array.from({ length: batch }, (_, n) => work.with({ n, failures: 0, ms: 5 }, { lane: 'low' })),
    )
    const critical = new Set<string>()
    const ended = (): number => readLedger(on.ledger).filter(({ mark }) => mark === 'ended').length
    for (const id of await dispatchCritical(on.errand, batch)) critical.add(id)
    await startWorker({ ...on.env, CONCURRENCY: String(slots) })
    // There are always hundreds of them.
    while (critical.size < 4 * batch) {
      const enough = critical.size - batch / 2
      await until(() => ended() >= enough, { what: 'critical jobs are run', withinMs: 60_000, pause })
      for (const id of await dispatchCritical(on.errand, batch / 2)) critical.add(id)
    }

    const started = await until(
      async () => {
        const all = (await readHistory(on.log)).filter(({ type }) => type === 'started')
        return all.length >= 3 * batch && all.slice(0, 3 * batch)
      },
      { what: 'readers see the events', withinMs: 60_000, pause },
    )
    for (let from = 0; from < started.length; from += batch) {
      const low = started.slice(from, from + batch).filter(({ jobId }) => !critical.has(jobId)).length
      expect(low / batch).toBeGreaterThan(0.08)
      expect(low / batch).toBeLessThan(0.13)
    }
  })
})

async function dispatchCritical(errand: Errand, count: number): Promise<ReadonlySet<string>> {
  const receipts = await errand.dispatchMany(
    Array.from({ length: count }, (_, n) => work.with({ n, failures: 0, ms: 5 }, { lane: 'critical' })),
  )
  return new Set(receipts.map(({ id }) => id))
}
